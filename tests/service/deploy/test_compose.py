"""deploy/compose.yaml: what its parts say of each other. ``make lint`` holds it to the schema of Compose."""

import json
import re

import yaml
from expressions import DEPLOY, PROMETHEUS

from tailgate.service.settings import PREFIX, Settings, load_settings

COMPOSE = yaml.safe_load((DEPLOY / "compose.yaml").read_text("utf-8"))
PARTS = COMPOSE["services"]
GRAFANA = DEPLOY / "grafana"


def mounts(part):
    """Return what a part has of this folder, by the place where it is."""
    bound = [volume.split(":") for volume in PARTS[part]["volumes"] if volume.startswith("./")]
    assert all(rest == ["ro"] for _, _, *rest in bound)
    return {place: DEPLOY / source for source, place, *_ in bound}


def test_the_settings_are_settings_and_the_stop_has_time():
    variables = PARTS["tailgate"]["environment"]
    settings = load_settings(variables)
    assert {name.removeprefix(PREFIX).lower() for name in variables} <= set(Settings.model_fields)
    assert PARTS["tailgate"]["stop_grace_period"] == f"{settings.drain_timeout_s + 10:g}s"
    assert PARTS["tailgate"]["ports"] == [f"127.0.0.1:{settings.port}:{settings.port}"]


def test_every_port_is_open_to_this_machine_alone():
    for part in PARTS.values():
        assert all(re.fullmatch(r"127\.0\.0\.1:(\d+):\1", port) for port in part["ports"])


def test_prometheus_scrapes_the_service_and_finds_its_files():
    config = yaml.safe_load((PROMETHEUS / "prometheus.yml").read_text("utf-8"))
    (scraped,) = config["scrape_configs"]
    assert scraped["static_configs"] == [{"targets": [f"tailgate:{load_settings({}).port}"]}]
    assert mounts("prometheus") == {"/etc/prometheus": PROMETHEUS}
    assert "--config.file=/etc/prometheus/prometheus.yml" in PARTS["prometheus"]["command"]
    assert all((PROMETHEUS / name).is_file() for name in config["rule_files"])


def test_grafana_finds_prometheus_and_the_dashboard():
    found = mounts("grafana")
    provisioning = found["/etc/grafana/provisioning"]
    (source,) = yaml.safe_load((provisioning / "datasources/prometheus.yaml").read_text())["datasources"]
    assert source["url"] == "http://prometheus:9090"
    (provider,) = yaml.safe_load((provisioning / "dashboards/tailgate.yaml").read_text())["providers"]
    home = PARTS["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    assert json.loads(found[home].read_text())["uid"] == "tailgate"
    assert home.startswith(provider["options"]["path"] + "/")


def test_every_image_of_others_is_of_one_version():
    images = [part["image"] for part in PARTS.values() if "build" not in part]
    assert images
    assert all(re.fullmatch(r"[\w/]+:v?\d+\.\d+\.\d+", image) for image in images)
