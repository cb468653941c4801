"""A verdict as text for a terminal."""

from __future__ import annotations

from tabulate import tabulate

from tunebench.gate.comparison import INCOMPLETE, REGRESSION, Verdict


def render(verdict: Verdict) -> str:
    """The verdict for a terminal: what changed, worst first, then what is missing, then one line that sums up."""
    ordered = sorted(verdict.changes, key=lambda c: (not c.regressed, c.limit.column, c.place, c.seed or 0))
    lines = [
        [
            "REGRESSED" if c.regressed else "",
            c.place[3],
            " ".join(c.place[:2]),
            c.place[2],
            "median" if c.seed is None else str(c.seed),
            c.limit.column,
            f"{c.before:.6g}",
            f"{c.now:.6g}",
            f"{c.limit.moved(c.before, c.now):+.2f}{c.limit.unit}",
            str(c.limit),
        ]
        for c in ordered
    ]
    headers = ("", "tuner", "on", "class", "seed", "column", "baseline", "now", "change", "limit")
    parts = [tabulate(lines, headers, disable_numparse=True)] if lines else []
    parts += [f"REGRESSED: {text}" for text in verdict.lost]
    parts += [f"cannot compare: {text}" for text in verdict.gaps]
    parts += [f"note: {text}" for text in verdict.notes]
    worse = len(verdict.regressions) + len(verdict.lost)
    word = {0: "passed", REGRESSION: "failed", INCOMPLETE: "not decided"}[verdict.exit_code]
    figures = f"{len(ordered)} figures changed, {worse} regressed, {len(verdict.gaps)} gaps"
    parts.append(f"gate {word}: {verdict.compared} cells compared, {figures}")
    return "\n".join(parts)
