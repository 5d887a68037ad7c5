"""The decision: from rows, a design and lenses to a verdict by lens and one for the run, look by look. Pure.

A lens decided at one look stays decided, and the run ends when a gating lens has failed or all have passed:
what comes later could not be judged at the stated error. A failure that a waiver accepts does not end the run: the other
lenses still have to pass. Only good blocks count towards a look; a look at
which too many blocks were void decides nothing, and if it is the last, the run is INVALID.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import accumulate

from tailgate.harness.compare.blocks.row import BlockRow, arm_value
from tailgate.harness.compare.decision.lens_result import judge_lens
from tailgate.harness.compare.lens import LENSES, WITHIN_ANSWERS
from tailgate.harness.results.comparison import Decision, Design, Lens, LensResult
from tailgate.harness.results.verdict import Verdict, worst

_DECIDED = {Verdict.PASS, Verdict.FAIL}


def judge(rows: Sequence[BlockRow], design: Design, lenses: Sequence[Lens] = LENSES) -> Decision:
    """Judge all blocks of a comparison so far.

    The answer is the same whether asked after every block or at the end; rows beyond the look that finished
    are ignored. A lens on times within answers that does not gate is left out where no answer had such times.
    """
    good = [row for row in rows if row.void is None]
    lenses = [lens for lens in lenses if lens.gates or lens.name not in WITHIN_ANSWERS or _sees(lens, good)]
    results: dict[str, LensResult] = {}
    over, disturbed, settled = 0, False, False
    for number, look in enumerate(design.looks, start=1):
        if len(good) < look.blocks or settled:
            break
        over = number
        seen = _until(rows, look.blocks)
        disturbed = len(seen) - look.blocks > design.max_void_share * len(seen)
        if disturbed:
            continue
        for lens in lenses:
            if lens.name not in results or results[lens.name].verdict not in _DECIDED:
                results[lens.name] = judge_lens(lens, good[: look.blocks], look, number=number)
        settled = _settled(results.values())
    if settled:
        rows = _until(rows, design.looks[over - 1].blocks)
    voided = sum(row.void is not None for row in rows)
    noisy = voided > design.max_void_blocks or (disturbed and over == len(design.looks))
    finished = settled or noisy or over == len(design.looks)
    ordered = tuple(results.get(lens.name) or _waiting(lens, good, design) for lens in lenses)
    verdict, reason = _overall(ordered, noisy=noisy, voided=voided, blocks=len(rows))
    return Decision(
        verdict=verdict,
        reason=reason,
        results=ordered,
        finished=finished,
        look=over,
        blocks=design.looks[over - 1].blocks if over else 0,
        voided=voided,
        next_look_blocks=None if finished else design.looks[over].blocks,
        load_s=sum(row.load_s for row in rows),
        wall_s=sum(row.wall_s for row in rows),
    )


def _sees(lens: Lens, rows: Iterable[BlockRow]) -> bool:
    return any(arm_value(lens, arm) is not None for row in rows for arm in (row.base, row.head))


def _until(rows: Sequence[BlockRow], blocks: int) -> Sequence[BlockRow]:
    """Return the rows up to the last of so many good ones."""
    counts = accumulate(row.void is None for row in rows)
    return rows[: 1 + next(index for index, count in enumerate(counts) if count == blocks)]


def _settled(results: Iterable[LensResult]) -> bool:
    """Tell whether no block could change the verdict: a gate failed, or each is decided or sees nothing."""
    gates = [result for result in results if result.lens.gates]
    if any(gate.verdict is Verdict.FAIL and not _accepted(gate) for gate in gates):
        return True
    return all(gate.verdict in _DECIDED or gate.n == 0 for gate in gates)


def _accepted(result: LensResult) -> bool:
    worse = result.lens.worse(result.change)
    return result.lens.waived is not None and worse is not None and worse <= result.lens.waived


def _waiting(lens: Lens, good: Sequence[BlockRow], design: Design) -> LensResult:
    """Return what was seen before the first look, which is not bounded."""
    first = design.looks[0]
    reason = f"undecided: {len(good)} good blocks so far, and the first look needs {first.blocks}"
    waiting = LensResult(lens, Verdict.INCONCLUSIVE, reason)
    if not good:
        return waiting
    seen = judge_lens(lens, good, first)
    return replace(waiting, change=seen.change, base=seen.base, head=seen.head, n=seen.n)


def _overall(results: Sequence[LensResult], *, noisy: bool, voided: int, blocks: int) -> tuple[Verdict, str]:
    gates = [result for result in results if result.lens.gates]
    if noisy:
        reason = f"noise: {voided} of {blocks} blocks are void; wait for a calmer machine, or use another"
        return Verdict.INVALID, reason
    verdict = worst([gate.verdict for gate in gates])
    if verdict is Verdict.PASS:
        n = max(gate.n for gate in gates)
        return verdict, f"within: head is not worse than base by as much as is tolerated, in {n} blocks"
    telling = [gate for gate in gates if gate.verdict is verdict]
    # Before the first look all say the same.
    also = ", ".join(gate.lens.name for gate in telling[1:] if gate.look is not None)
    return verdict, telling[0].reason + (f"; likewise {also}" if also else "")
