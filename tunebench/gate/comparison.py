"""Hold a run against a baseline: what got worse, by how much, and whether it may pass. Reads both, writes neither.

Quality is deterministic, so its limits are exact and hold for every seed alone. Times are ratios to the original
timed in the same run; a row counts as slower only where every seed is, by more than the limit and the noise. Noise
adds as much as the limit itself at most; where there is more of it, the question is left open.
"""

from __future__ import annotations

import math
import statistics
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
    """Cells that are ok in both runs."""
    checked: list[tuple[Place, Limit]] = field(default_factory=list)
    """Every row and limit that it was held to."""
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
    verdict.notes += same_measurements(pairs)
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


def same_measurements(pairs: Sequence[tuple[Place, int, Row, Row]]) -> list[str]:
    """A remark where cells are the baseline's own: no two computations take the same time to the last digit."""
    timed = [new["tune_seconds"] == old["tune_seconds"] for _, _, new, old in pairs if new["tune_seconds"]]
    if not any(timed):
        return []
    if all(timed):
        return ["the run is held against itself: every cell is the baseline's own, so nothing could have got worse"]
    return [f"{sum(timed)} of {len(pairs)} cells are the baseline's own, not computed again"]


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
    verdict.checked += [(place, limit) for place in rows]
    if is_time(limit.column):
        check_times(limit, rows, verdict)
    else:
        verdict.changes += [
            Change(place, seed, limit, a, b, limit.broken(a, b))
            for place, seeds in rows.items()
            for seed, a, b in seeds
            if a != b
        ]


def check_times(limit: Limit, rows: dict[Place, list[tuple[int, float, float]]], verdict: Verdict) -> None:
    """Rows whose median over seeds exceeds the limit; a regression where every seed exceeds limit and noise."""
    spread = noise(rows.values())
    usual, slack = (100 * math.expm1(times * spread) for times in (1, NOISE))
    if usual > abs(limit.change):
        verdict.gaps.append(
            f"{limit.column} varies by {usual:.1f} % where nothing changed, more than the limit of "
            f"{abs(limit.change):g} %; measure both runs on a quieter machine, or allow more"
        )
    else:
        slack = min(slack, abs(limit.change))
    for place, seeds in rows.items():
        regressed = all(limit.broken(a, b, slack) for _, a, b in seeds)
        before, now = (float(np.median([seed[side] for seed in seeds])) for side in (1, 2))
        if regressed or limit.broken(before, now):
            verdict.changes.append(Change(place, None, limit, before, now, regressed))


def noise(rows: Iterable[Sequence[tuple[int, float, float]]]) -> float:
    """Standard deviation of log(now / before) between measurements of one row, as most rows show it.

    The median over rows of their deviations between seeds, each divided by the median of its chi distribution: one
    wild row has no say. Rows of one seed show none, so where there are no others it is the deviation between rows,
    1.48 times the median distance from their median; 0 for a single row.
    """
    from scipy.special import chdtri

    logs = [np.log([b / a for _, a, b in seeds if a > 0 and b > 0]) for seeds in rows]
    within = [
        float(row.std(ddof=1)) / math.sqrt(chdtri(len(row) - 1, 0.5) / (len(row) - 1)) for row in logs if len(row) > 1
    ]
    if within:
        return statistics.median(within)
    single = np.array([float(row[0]) for row in logs if len(row)])
    return float(np.median(np.abs(single - np.median(single)))) / 0.6745 if len(single) else 0.0
