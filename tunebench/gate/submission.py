"""What a run folder has to fulfil before its rows are offered to a published board."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from tunebench.boards import leaderboard
from tunebench.boards.leaderboard import Leaderboard

LEAST_SEEDS = 3


class Finding(NamedTuple):
    """One rule, whether it is kept, and what to do where it is not."""

    rule: str
    kept: bool
    advice: str


def examine(out: Path) -> list[Finding]:
    """Every rule for the run in ``out``; StoreError when there is none. Cells are read as strictly as a stranger's."""
    return list(findings(leaderboard.build(out)))


def findings(board: Leaderboard) -> Iterator[Finding]:
    """The rules one after the other."""
    suite, rows = board.lock["suite"], board.rows
    tuners = {row["tuner"] for row in rows}
    unread = [note for note in board.notes if "not counted" in note]
    bad = [f"{row['tuner']} {row['status']}" for row in rows if row["status"] not in ("ok", "skipped")]
    bad += [f"{row['tuner']} incomplete" for row in rows if row["status"] == "ok" and row["rank"] is None]
    untimed = [row["tuner"] for row in rows if row["rank"] is not None and row["latency_ratio"] is None]
    yield Finding("held out", board.protocol == "holdout", "run again with --protocol holdout")
    yield Finding(f"at least {LEAST_SEEDS} seeds", suite["seeds"] >= LEAST_SEEDS, "run again with more --seeds")
    yield Finding("original is among the tuners", "original" in tuners, "run again with -t original")
    yield Finding("a tuner beside original", tuners > {"original"}, "run again with -t and the tuner's name")
    yield Finding("every cell can be read and is of this run", not unread, "; ".join(unread))
    yield Finding("every cell is ok or skipped", not bad, f"{each(bad)}; run again with --retry-failed")
    yield Finding("latency is measured", not untimed, f"{each(untimed)}; run again on an idle machine")


def each(names: Iterable[str]) -> str:
    """Every name once."""
    return ", ".join(dict.fromkeys(names))
