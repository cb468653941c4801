"""The page's sentences: what was asked, what came out, how it was made."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence

from tunebench.boards.comparison import BLOCK, Row
from tunebench.boards.contrasts import BIAS, tally
from tunebench.boards.leaderboard import Leaderboard
from tunebench.glossary import column

MOST_NAMES = 5
"""More names than that are only counted in a sentence."""


def question(board: Leaderboard) -> str:
    """What the suite asked."""
    of = {name: list(dict.fromkeys(row[name] for row in board.rows)) for name in BLOCK}
    classes, models, datasets = of["target_name"], of["model"], of["dataset"]
    target = few(classes, "classes", "classes " if len(classes) > 1 else "class ")
    limit = f"while accuracy over all classes (OA) falls by at most {board.budget:g} points?"
    if (recall := board.lock["suite"].get("recall")) is not None:
        limit = f"to {100 * recall:g} % or more, at the least loss of accuracy over all classes (OA)?"
    return (
        f"Which tuner raises the recall (TA) of {target} of {few(models, 'networks')} on {few(datasets, 'data sets')} "
        f"most, {limit}"
    )


def few(names: Sequence[str], noun: str, before: str = "") -> str:
    """All ``names``, or how many where they are too many to read; ``noun`` is their plural."""
    return f"{before}{listed(names)}" if len(names) <= MOST_NAMES else f"{len(names)} {noun}"


def best_of(advice: Sequence[Row], board: Leaderboard) -> Row | None:
    """The advice at the suite's budget, or the nearest smaller one that curves have; None where there is none yet."""
    return next((row for row in reversed(advice) if row["budget"] <= board.budget + 1e-9), None)


def answer(advice: Sequence[Row], board: Leaderboard) -> str:
    """What came out, see `best_of`."""
    best = best_of(advice, board)
    if best is None:
        return "None yet: fewer than two tuners are complete in every block."
    shown = told(best)
    return (
        f"{best['first']}, at an OA budget of {shown['budget']} points: {shown['ta_gain']} points of TA and "
        f"{shown['oa_gain']} of OA on test, mean over {counted(best['blocks'], 'block')}. The budget is kept on the "
        f"data that chose; on test it was exceeded in {shown['over_budget']} of cells. Second is {best['second']}, "
        f"{100 * best['behind']:.2f} points behind; the first is ahead in {best['ahead']} of {best['blocks']}. "
        f"{told_apart(best, board)}{over_bias(best, board)}"
    )


def told_apart(best: Row, board: Leaderboard) -> str:
    """In how many blocks the first two can be told apart; silent where they are variants that no test compares."""
    (first, variant), (second, other) = map(tuner_and_variant, (best["first"], best["second"]))
    tested = [
        pair["ta_p_holm"] <= 0.05
        for pair in board.pairs
        if {pair["tuner_a"], pair["tuner_b"]} == {first, second} and pair["variant"] == variant == other
    ]
    return f"The two can be told apart in {sum(tested)} of {counted(len(tested), 'block')}. " if tested else ""


def over_bias(best: Row, board: Leaderboard) -> str:
    """In how many blocks the first is found to be ahead of logit-bias, at the suite's budget; silent where untested."""
    first, variant = tuner_and_variant(best["first"])
    found = tally(board.contrasts).get(first, {}).get((variant, BIAS))
    if not found or best["budget"] != board.budget:
        return ""
    return f"Ahead of {BIAS}, a planned contrast: in {found['ahead']} of {counted(found['blocks'], 'block')}."


def tuner_and_variant(name: str) -> tuple[str, str]:
    """The inverse of `tunebench.boards.advice.label`."""
    tuner, _, variant = name.partition(", ")
    return tuner, variant or "plain"


def told(row: Row) -> Row:
    """A line of the advice as a reader wants it."""
    return row | {
        "budget": f"{row['budget']:g}",
        "ta_gain": column("ta_gain").shown(row["ta_gain"]),
        "oa_gain": column("oa_gain").shown(-row["oa_loss"]),
        "over_budget": column("over_budget").shown(row["over_budget"]),
        "behind": column("ta_gain").shown(-row["behind"]),
    }


def suite_file(suite: Row) -> str:
    """The suite.toml that runs the same suite again, whatever flags it was made with."""
    return "\n".join(f"{name} = {json.dumps(value)}" for name, value in suite.items() if value is not None)


def origin(lock: Row) -> list[tuple[str, str]]:
    """Rules, versions and checksums, as terms and texts."""
    suite, rest = lock["suite"], lock["inputs"]["rest"]
    seeds, trials = counted(suite["seeds"], "seed"), counted(suite["trials"], "trial")
    versions = [f"{name} {rest[name]}" for name in ("tunebench", "torch", "numpy", "optuna") if name in rest]
    data = [f"{name} {digest[:12]}" for name, digest in sorted(lock.get("data", {}).items())]
    recipes = [f"{name} {recipe}" for name, recipe in sorted(lock.get("recipes", {}).items())]
    return [
        ("Protocol", f"{suite['protocol']}, {seeds}, {trials} per search"),
        ("Originals", ", ".join(recipes) or str(suite.get("recipe"))),
        ("Versions", ", ".join(versions)),
        ("Data, SHA-256", ", ".join(data) or "unknown"),
    ]


def listed(names: Iterable[str]) -> str:
    """``a, b and c``, each once."""
    *most, last = dict.fromkeys(names) or [""]
    return f"{', '.join(most)} and {last}" if most else str(last)


def counted(number: int, noun: str) -> str:
    """``1 block``, ``2 blocks``."""
    return f"{number} {noun}{'s' if number != 1 else ''}"
