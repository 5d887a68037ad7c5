"""What PromQL asks for, against what the service declares and the recording rules make."""

import re
from pathlib import Path

import yaml

from tailgate.service.families import FAMILIES

DEPLOY = Path(__file__).parents[3] / "deploy"
PROMETHEUS = DEPLOY / "prometheus"
ENDINGS = {
    "counter": ("_total",),
    "gauge": ("",),
    "histogram": ("_bucket", "_sum", "_count"),
    "info": ("_info",),
}
# Of Prometheus itself, and of its Python client.
OTHERS = {"up", "process_cpu_seconds_total", "process_resident_memory_bytes"}
WORDS = {"avg_over_time", "histogram_quantile"}


def rules(name):
    """Return all rules of a file."""
    groups = yaml.safe_load((PROMETHEUS / name).read_text("utf-8"))["groups"]
    return [rule for group in groups for rule in group["rules"]]


def known():
    """Return the names of all series that there are to ask for."""
    declared = {family.name + ending for family in FAMILIES.values() for ending in ENDINGS[family.kind]}
    return declared | {rule["record"] for rule in rules("recording.yml")} | OTHERS


def names(expression):
    """Return the names of the series that an expression asks for."""
    outside = re.sub(r"\{[^}]*\}|\[[^]]*\]", "", expression)
    return set(re.findall(r"\b[a-z]+[_:][\w:]+|\bup\b", outside)) - WORDS


def labels(expression):
    """Return name and value of each label that an expression picks, alternatives one by one."""
    picked = re.findall(r'(\w+)!?=~?"([^"]*)"', expression)
    return {(name, value) for name, values in picked for value in values.split("|")}
