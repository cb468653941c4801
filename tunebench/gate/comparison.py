"""Hold a run against a baseline: what got worse, by how much, and whether it may pass. Reads both, writes neither.

Quality is deterministic, so its limits are exact and hold for every seed alone. Times are ratios to the original
timed in the same run; a row counts as slower only where every seed is, by more than the limit and the noise.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from tunebench.boards.leaderboard import remarks_on_suite
from tunebench.gate.limits import Limit, is_absolute_time, is_time
from tunebench.gate.runs import Place, Row, Run, label, protocol_changes, read_run, version_changes
from tunebench.results.cells import FAILURES

REGRESSION, INCOMPLETE = 3, 4
"""Exit codes: something got worse; nothing, too little or something else was measured."""
NOISE = 2.0
"""Standard deviations of the noise by which a time has to exceed its limit."""


@dataclass(frozen=True)
class Change:
    """One figure that moved; ``seed`` is None where the row is compared as a whole."""

    place: Place
    seed: int | None
    limit: Limit
    before: float
    now: float
    regressed: bool


@dataclass
class Verdict:
    """What a comparison found."""

    compared: int = 0
    changes: list[Change] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    """Rows that the baseline has and the run has no longer: regressions."""
    gaps: list[str] = field(default_factory=list)
    """Why the comparison cannot be trusted."""
    notes: list[str] = field(default_factory=list)

    @property
    def regressions(self) -> list[Change]:
        """The changes beyond their limit."""
        return [change for change in self.changes if change.regressed]

    @property
    def exit_code(self) -> int:
        """0, `REGRESSION` or `INCOMPLETE`; a regression says more than a gap."""
        if self.lost or self.regressions:
            return REGRESSION
        return INCOMPLETE if self.gaps else 0


def compare(out: Path, baseline: Path, limits: Sequence[Limit]) -> Verdict:
    """Everything in ``out`` that moved against ``baseline``, with respect to ``limits``."""
    verdict = Verdict()
    now, before = read_run(out), read_run(baseline)
    if before is None or not before.measured:
        verdict.gaps.append(f"baseline incomplete: {baseline} holds no result")
    if now is None or not now.measured:
        verdict.gaps.append(f"nothing was measured: {out} holds no result")
    if now is None or before is None:
        return verdict
    verdict.notes += [f"{out}: {note}" for note in now.notes] + [f"{baseline}: {note}" for note in before.notes]
    verdict.notes += remarks_on_suite(now.lock["suite"])
    verdict.gaps += [f"protocol differs: {text}" for text in protocol_changes(now.lock, before.lock)]
    verdict.notes += [f"other software: {text}" for text in version_changes(now.lock, before.lock)]
    if verdict.gaps:
        return verdict
    pairs = list(matched(now, before, verdict))
    for limit in limits:
        if is_absolute_time(limit.column) and now.machines != before.machines:
            verdict.gaps.append(f"{limit.column} was measured on another machine; gate latency_ratio instead")
            continue
        check(limit, pairs, verdict)
    verdict.compared = len(pairs)
    if any(now.originals[key] != before.originals[key] for key in now.originals.keys() & before.originals.keys()):
        verdict.notes.append("some originals differ from the baseline's, so not every change is a tuner's doing")
    return verdict


def matched(now: Run, before: Run, verdict: Verdict) -> Iterator[tuple[Place, int, Row, Row]]:
    """Place, seed, row now and row before of every cell that is ok in both; the rest goes into ``verdict``."""
    for place in sorted(now.rows.keys() | before.rows.keys()):
        ours, theirs = now.rows.get(place, {}), before.rows.get(place, {})
        for seed in sorted(ours.keys() | theirs.keys()):
            new, old = ours.get(seed), theirs.get(seed)
            name = f"{label(place)}, seed {seed}"
            was, is_now = (row["status"] if row else "missing" for row in (old, new))
            if was in FAILURES or was == "missing" or (was == "skipped" and is_now == "ok"):
                verdict.gaps.append(f"baseline incomplete: {name} is {was} there")
            elif new is None:
                verdict.lost.append(f"{name} has vanished")
            elif is_now != was:
                verdict.lost.append(f"{name} is {is_now}: {new['reason'] or 'no reason given'}")
            elif old is not None and was == "ok":
                yield place, seed, new, old
        if not ours and not theirs:
            verdict.gaps.append(f"nothing was measured: no result for {label(place)}")


def check(limit: Limit, pairs: Sequence[tuple[Place, int, Row, Row]], verdict: Verdict) -> None:
    """Compare one column over all pairs of rows."""
    rows: dict[Place, list[tuple[int, float, float]]] = {}
    for place, seed, new, old in pairs:
        a, b = old[limit.column], new[limit.column]
        if a is None and b is None:
            continue  # a column that this tuner does not have, such as search_regret
        if a is None or b is None:
            side = f"baseline incomplete: no {limit.column}" if a is None else f"{limit.column} was not measured"
            verdict.gaps.append(f"{side} for {label(place)}, seed {seed}")
            continue
        rows.setdefault(place, []).append((seed, float(a), float(b)))
    if not rows:
        verdict.gaps.append(f"nothing was measured: no row has {limit.column}")
    if is_time(limit.column):
        verdict.changes += times_changed(limit, rows)
    else:
        verdict.changes += [
            Change(place, seed, limit, a, b, limit.broken(a, b))
            for place, seeds in rows.items()
            for seed, a, b in seeds
            if a != b
        ]


def times_changed(limit: Limit, rows: dict[Place, list[tuple[int, float, float]]]) -> Iterator[Change]:
    """Rows whose median over seeds exceeds the limit; a regression where every seed exceeds limit and noise."""
    slack = 100 * math.expm1(NOISE * noise(rows.values()))
    for place, seeds in rows.items():
        regressed = all(limit.broken(a, b, slack) for _, a, b in seeds)
        before, now = (float(np.median([seed[side] for seed in seeds])) for side in (1, 2))
        if regressed or limit.broken(before, now):
            yield Change(place, None, limit, before, now, regressed)


def noise(rows: Iterable[Sequence[tuple[int, float, float]]]) -> float:
    """Standard deviation of log(now / before) within rows, pooled over all of them; 0 where each has one seed."""
    squares, freedom = 0.0, 0
    for seeds in rows:
        logs = np.array([math.log(b / a) for _, a, b in seeds if a > 0 and b > 0])
        squares += float(((logs - logs.mean()) ** 2).sum()) if len(logs) else 0.0
        freedom += max(0, len(logs) - 1)
    return math.sqrt(squares / freedom) if freedom else 0.0
