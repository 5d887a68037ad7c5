"""The proposal of a calibration: lines for ``pyproject.toml``, which nothing overwrites, and advice."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from tailgate.harness.compare.blocks.row import least_requests
from tailgate.harness.compare.calibration.calibration import BUSY_SHARE, Calibration, Range, Sight
from tailgate.harness.units import Unit, percent, quantity, significant

# A budget is the largest value of any block and so much more. One in yardsticks holds on other machines, too:
# one machine's yardstick was seen to wander nearly as far within half an hour.
DISTANCE_MS, DISTANCE_YD = 0.25, 0.6
BUDGETED = ("p95", "p99")
# With a larger share of void blocks, a comparison here often is INVALID.
MANY_VOID = 0.15


@dataclass(frozen=True, slots=True)
class Subject:
    """What was calibrated: the scenario and its keys of budgets, and the seconds of 1 yd, if it was timed."""

    scenario: str
    budget_keys: tuple[str, ...]
    date: str
    machine: str
    target: str
    yardstick_s: float | None


def toml(found: Calibration, subject: Subject) -> str:
    """Return tolerances by lens, and budgets of the scenario in milliseconds and in yardsticks."""
    lines = [
        f"# Proposed by tailgate calibrate, {subject.date}. It changes nothing: what you agree with goes into",
        "# pyproject.toml.",
        f"# machine: {subject.machine}",
        f"# target: {subject.target}",
        f"# scenario: {subject.scenario}, {significant(found.rate_per_s)} requests/s",
        f"# {found.blocks} good blocks of {found.pairs} pairs",
        "",
        "[tool.pytest.ini_options]",
        "# What a comparison tolerates by lens: the least with which unchanged code passes 95 times in 100, even if the",
        "# noise lies at the upper end of its interval.",
        "perf_lens = [",
        *(_tolerance(sight) for sight in found.sights if sight.noise.lens.gates),
        "]",
        "",
        "[tool.tailgate.budgets]",
        *_budgets(found.quantiles_s, subject),
    ]
    return "\n".join(line.rstrip() for line in lines) + "\n"


def _tolerance(sight: Sight) -> str:
    noise, lens = sight.noise, sight.noise.lens
    measured = f"noise of a block {percent(noise.sigma)} [{percent(noise.low)}, {percent(noise.high)}]"
    if sight.tolerance is None:
        return f"  # {lens.name}: {measured}, too much for any tolerance"
    return f'  "{lens.name}={sight.tolerance * 100:g}%",  # {measured}; built in: {lens.tolerance * 100:g} %'


def _budgets(quantiles_s: Mapping[str, Range], subject: Subject) -> Iterator[str]:
    wanted = {
        name: quantiles_s[name] for name in BUDGETED if name in quantiles_s and name in subject.budget_keys
    }
    if not wanted:
        yield f"# The scenario {subject.scenario} has no absolute limits; calibrate with --scenario steady for budgets."
        return
    seen = ", ".join(
        f"{name} {quantity(one.low, Unit.SECONDS)} to {quantity(one.high, Unit.SECONDS)}"
        for name, one in wanted.items()
    )
    yield f"# Single blocks had {seen}. Each budget is the largest and {100 * DISTANCE_MS:.0f} % more. Keep the rate beside them."
    yield _line(
        subject.scenario,
        {name: _up(one.high * (1 + DISTANCE_MS) * 1e3, "ms") for name, one in wanted.items()},
    )
    if subject.yardstick_s is not None:
        unit_s = subject.yardstick_s
        yield (
            f"# For other machines, in yardsticks (1 yd was {quantity(unit_s, Unit.SECONDS)}): the largest and "
            f"{100 * DISTANCE_YD:.0f} % more, as far as a machine's yardstick may wander."
        )
        yards = {name: _up(one.high * (1 + DISTANCE_YD) / unit_s, "yd") for name, one in wanted.items()}
        yield "# " + _line(subject.scenario, yards)


def _line(scenario: str, budgets: Mapping[str, str]) -> str:
    items = ", ".join(f'{name} = "{text}"' for name, text in budgets.items())
    return f'"{scenario}" = {{ {items} }}'


def _up(number: float, unit: str) -> str:
    """Return a number rounded up to two digits, with its unit."""
    step = 10.0 ** (math.floor(math.log10(number)) - 1)
    return f"{math.ceil(number / step - 1e-9) * step:.10g} {unit}"


def advice(found: Calibration) -> tuple[str, ...]:
    """Return what to do, the most telling first."""
    return tuple(_advice(found))


def _advice(found: Calibration) -> Iterator[str]:
    total = found.blocks + sum(found.voided.values())
    void = 1 - found.blocks / total
    if void > MANY_VOID:
        yield (
            f"machine: {percent(void)} of the blocks were void, most often because {max(found.voided, key=lambda why: found.voided[why])}. "
            "A comparison here will often be INVALID; use a calmer machine, or a calmer hour."
        )
    yield _pairs(found)
    yield _slots(found)
    yield from _rate(found)
    for sight in found.sights:
        lens = sight.noise.lens
        if lens.gates and sight.passes < 0.9:
            tolerate = "" if sight.tolerance is None else f"tolerate {sight.tolerance * 100:g} %, or "
            yield (
                f"{lens.name}: unchanged code passes {100 * lens.tolerance:.0f} % only {100 * sight.passes:.0f} % of the time; "
                f"{tolerate}report it only (--perf-lens={lens.name}=…)."
            )


def _pairs(found: Calibration) -> str:
    starts = 1 - found.block_load_s / found.block_wall_s if found.block_wall_s else 0.0
    now = f"a block is {significant(found.block_wall_s)} s, {100 * starts:.0f} % of it without load"
    if found.division is None:
        return f"blocks: {now}; the noise of starts and of pairs could not be told apart."
    if found.division.pairs != found.pairs and found.division.gain > 1.1:
        return (
            f"blocks: {now}. {found.division.pairs} pairs in each, in place of {found.pairs}, would see the same change "
            f"{significant(found.division.gain)} times as fast."
        )
    return f"blocks: {now}; {found.pairs} pairs in each are near the best."


def _slots(found: Calibration) -> str:
    slot_s = found.block_load_s / found.pairs / 2
    least_s = least_requests(0.99) / found.pairs / found.rate_per_s
    cut, longer = ", in one piece", "longer slots only let more drift in"
    if found.windows > 1:
        cut = f", in {found.windows} windows of {significant(slot_s / found.windows)} s by turns"
        longer = "more windows reduce the noise, in longer pairs or in more of them; longer windows hardly do"
    return (
        f"pairs: {significant(slot_s)} s and {found.slot_requests:.0f} requests of each arm{cut}. {found.pairs} pairs need "
        f"at least {significant(least_s)} s of each arm for p99; {longer}."
    )


def _rate(found: Calibration) -> Iterator[str]:
    if found.busy_share is None or found.cpu_s is None:
        return
    fitting = significant(BUSY_SHARE / found.cpu_s.middle)
    if found.busy_share > 1.2 * BUSY_SHARE:
        todo = f"late requests come in runs, which costs p95 and p99 their power: try {fitting}/s or less"
    elif found.busy_share < 0.6 * BUSY_SHARE:
        todo = f"up to {fitting}/s would give more samples in the same time"
    else:
        todo = "which is a good rate"
    yield (
        f"rate: {significant(found.rate_per_s)} requests/s keep one processor {100 * found.busy_share:.0f} % busy; {todo} "
        "(the budget rate of the scenario)."
    )
