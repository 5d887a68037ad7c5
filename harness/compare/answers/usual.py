"""What base usually answers to each payload, learnt from its own answers, and how far these differ by themselves. Pure.

A place that varies by itself is not compared: its values differ in more than a fifth of base's answers to the same payload,
or its numbers by more than a fifth of their size. All other numbers have a tolerance: four times what base's own differ by,
since other batches change the last digits. Positions in lists and payloads are pooled for both.
"""

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tailgate.harness.compare.answers.form import Leaf, Number, Place, pattern
from tailgate.harness.json_path import JsonPath

# Of base's answers to one payload, beyond the first; and of the size of its numbers.
MOST_VARIED = 0.2
# With fewer answers of base beyond the first to a payload, nobody knows what varies by itself.
LEAST_REPEATS = 10
# Of floats that base always answers alike: far below what another precision changes, far above another order of sums.
RELATIVE, ABSOLUTE = 1e-5, 1e-7
TIMES_OWN_SPREAD = 4.0
# Of the values at one place; a place with more of them varies.
_MOST_TOKENS = 64
_LONG = 2_000
_NUMBER = "a number"

# What two values share that are the same, but for the tolerance of numbers: a whole number is itself.
Token = str | int


@dataclass(frozen=True, slots=True)
class Terms:
    """How answers are compared; a tolerance of None is learnt."""

    tolerance: float | None = None
    ignore: tuple[JsonPath, ...] = ()

    @property
    def options(self) -> list[str]:
        """The options of a run by these terms."""
        said = [] if self.tolerance is None else [f"--perf-answer-tolerance={self.tolerance:g}"]
        return [*said, *(f"--perf-answer-ignore={path}" for path in self.ignore)]

    def ignores(self, place: Place) -> bool:
        """Tell whether the user leaves a place out."""
        if not self.ignore or place[0] != "$":
            return False
        # Only [*] leads into a vector.
        steps = tuple("[*]" if step is None else step for step in place[1:])
        return any(path.covers(steps) for path in self.ignore)


@dataclass(slots=True)
class _Seen:
    """What base answered to one payload at one place."""

    tokens: Counter[Token] = field(default_factory=Counter)
    beyond: int = 0  # answers whose value found no room among the tokens
    # The least and the greatest number, or those of each element, by token.
    ranges: dict[Token, tuple[Any, Any]] = field(default_factory=dict)

    def add(self, leaf: Leaf, requests: int) -> None:
        token = token_of(leaf)
        if token not in self.tokens and len(self.tokens) >= _MOST_TOKENS:
            self.beyond += requests
        else:
            self.tokens[token] += requests
        if isinstance(leaf, str):
            return
        kind = token_of(leaf, numeric=True)
        if kind not in self.ranges:
            if len(self.ranges) < _MOST_TOKENS:
                self.ranges[kind] = leaf.value, leaf.value
            return
        low, high = self.ranges[kind]
        least, most = (min, max) if leaf.size is None else (np.minimum, np.maximum)
        self.ranges[kind] = least(low, leaf.value), most(high, leaf.value)

    def counts(self, *, numeric: bool) -> Counter[Token]:
        """Return how many answers had each token, whole numbers as any number where ``numeric``."""
        if not numeric:
            return self.tokens
        merged: Counter[Token] = Counter()
        for token, count in self.tokens.items():
            merged[_NUMBER if isinstance(token, int) else token] += count
        if _NUMBER in merged:
            merged[_NUMBER] += self.beyond
        return merged


@dataclass(slots=True)
class Learnt:
    """What base showed at a place, over all payloads and positions in lists."""

    fractions: bool = False  # whether some number was written with one
    numeric: bool = False  # whether numbers are held against a range
    compared: bool = True
    repeats: int = 0  # answers beyond the first to their payload
    deviating: int = 0  # answers other than the usual one to their payload
    spread: float = 0.0  # of numbers, as a share of the largest to the same payload


@dataclass(frozen=True, slots=True)
class Usual:
    """What is right at a place for one payload."""

    token: Token
    numeric: bool
    low: Any = None  # of its numbers, None for another value
    high: Any = None
    tolerance: Any = 0.0  # absolute, of each number

    @property
    def leaf(self) -> Leaf:
        """One of the values that are usual."""
        if self.low is not None:
            return Number(self.low, whole=False)
        return Number(self.token, whole=True) if isinstance(self.token, int) else self.token[1:]

    def differs(self, leaf: Leaf | None) -> bool:
        """Tell whether what stands at the place is not what is usual there."""
        if leaf is None or token_of(leaf, numeric=self.numeric) != self.token:
            return True
        if isinstance(leaf, str) or self.low is None:
            return False
        beyond = np.maximum(self.low - leaf.value, leaf.value - self.high)
        return bool(np.any(beyond > self.tolerance))


class Base:
    """Base's answers, counted; :meth:`learn` says what is usual."""

    def __init__(self, terms: Terms) -> None:
        self.requests: Counter[int] = Counter()  # by payload
        self.learnt: dict[Place, Learnt] = {}
        self.usual: dict[int, dict[Place, Usual]] = {}  # by payload; without places that are mostly missing
        self._terms = terms
        self._seen: dict[int, dict[Place, _Seen]] = {}

    def add(self, payload: int, answer: Mapping[Place, Leaf], requests: int) -> None:
        """Count an answer that so many requests got."""
        self.requests[payload] += requests
        places = self._seen.setdefault(payload, {})
        for place, leaf in answer.items():
            if self._terms.ignores(place):
                continue
            if place not in places:
                places[place] = _Seen()
            places[place].add(leaf, requests)
            if isinstance(leaf, Number) and (not leaf.whole or leaf.size is not None):
                learnt = self.learnt.setdefault(pattern(place), Learnt())
                learnt.numeric = True
                learnt.fractions |= not leaf.whole

    def learn(self) -> None:
        """Find what varies by itself, by how much numbers do, and what is usual elsewhere."""
        by_pattern: dict[Place, list[tuple[int, Place]]] = {}
        for payload, places in self._seen.items():
            for place in places:
                by_pattern.setdefault(pattern(place), []).append((payload, place))
        for group, members in by_pattern.items():
            learnt = self.learnt.setdefault(group, Learnt())
            self._count(learnt, members)
            if learnt.deviating > MOST_VARIED * learnt.repeats and not learnt.numeric:
                # Whole numbers that vary are held against a range, if they vary by little.
                learnt.numeric = True
                self._count(learnt, members)
            sizes = self._sizes(members)
            if learnt.numeric:
                learnt.spread = max(
                    _spread(self._seen[payload][at], sizes[payload]) for payload, at in members
                )
            varies = learnt.deviating > MOST_VARIED * learnt.repeats
            far = learnt.spread > max(MOST_VARIED, self._terms.tolerance or 0.0)
            learnt.compared = learnt.repeats >= LEAST_REPEATS and not varies and not far
            if learnt.compared:
                for payload, place in members:
                    self._settle(payload, place, learnt, sizes[payload])

    def _count(self, learnt: Learnt, members: Sequence[tuple[int, Place]]) -> None:
        learnt.repeats = learnt.deviating = 0
        for payload, place in members:
            seen, requests = self._seen[payload][place], self.requests[payload]
            missing = requests - seen.tokens.total() - seen.beyond
            learnt.repeats += requests - 1
            learnt.deviating += requests - max(missing, *seen.counts(numeric=learnt.numeric).values())

    def _sizes(self, members: Iterable[tuple[int, Place]]) -> Mapping[int, float]:
        """Return by payload the size of the largest number at these places."""
        sizes: dict[int, float] = {}
        for payload, place in members:
            ranges = self._seen[payload][place].ranges.values()
            largest = max((float(np.max(_largest(*one))) for one in ranges), default=0.0)
            sizes[payload] = max(sizes.get(payload, 0.0), largest)
        return sizes

    def _settle(self, payload: int, place: Place, learnt: Learnt, size: float) -> None:
        seen = self._seen[payload][place]
        ((token, count),) = seen.counts(numeric=learnt.numeric).most_common(1)
        if 2 * count <= self.requests[payload]:
            return
        usual = Usual(token, learnt.numeric)
        if learnt.numeric and token in seen.ranges:
            low, high = seen.ranges[token]
            asked, largest = self._terms.tolerance, _largest(low, high)
            if asked is None:
                least = RELATIVE * largest if learnt.fractions else 0.0
                tolerance = np.maximum(least, TIMES_OWN_SPREAD * learnt.spread * size)
            else:
                tolerance = asked * largest
            usual = Usual(token, learnt.numeric, low, high, tolerance + ABSOLUTE)
        self.usual.setdefault(payload, {})[place] = usual


def token_of(leaf: Leaf, *, numeric: bool = False) -> Token:
    """Return the token of a value; whole numbers share one where ``numeric``."""
    if isinstance(leaf, str):
        # The sign keeps a text from being taken for a kind of number.
        if len(leaf) <= _LONG:
            return f"={leaf}"
        return f"={leaf[:_LONG]}… {hashlib.blake2b(leaf.encode('utf-8', 'surrogatepass'), digest_size=8).hexdigest()}"
    if leaf.size is not None:
        return f"{leaf.size} numbers"
    return leaf.value if leaf.whole and not numeric else _NUMBER


def _largest(low: Any, high: Any) -> Any:
    return np.maximum(np.abs(low), np.abs(high))


def _spread(seen: _Seen, size: float) -> float:
    apart = max((float(np.max(high - low)) for low, high in seen.ranges.values()), default=0.0)
    return apart / size if apart > ABSOLUTE else 0.0
