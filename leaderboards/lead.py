"""How far the leader of a board is ahead of the runner-up, each with its best variant, with its 95 % interval.

Usage: python leaderboards/lead.py [RUN ...] [--budget 0.2]. RUN are run folders; the boards of converged originals by
default. Pairs are those of *Which to pick*; that they were picked on these very samples no interval accounts for.
"""

import argparse
import json
from pathlib import Path

import numpy as np
from tabulate import tabulate

from tunebench.boards import advice, comparison, leaderboard
from tunebench.boards.page import words
from tunebench.boards.statistics import pairwise

HERE = Path(__file__).parent
COMMITTED = [HERE / name for name in ("mnist-converged", "fashion-mnist-converged")]


def main() -> None:
    """Print a table for every run."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", nargs="*", type=Path, default=COMMITTED)
    parser.add_argument("--budget", type=float, default=0.2)
    args = parser.parse_args()
    for run in args.runs:
        print(f"{table(run, args.budget)}\n")


def table(run: Path, budget: float) -> str:
    """The lead in every block, and over the target images of all blocks, whose originals share their seeds."""
    curves = json.loads((run / "leaderboard.json").read_text("utf-8"))["curves"]
    chosen = next(row for row in advice.advise(curves) if row["budget"] == budget)
    pair = [words.tuner_and_variant(chosen[place]) for place in ("first", "second")]
    rows, all_right, all_labels = [], [], []
    for block, complete in leaderboard.complete_blocks(run):
        right, labels = block_of(complete, pair, budget, [int(part) for part in block[2].split("+")])
        rows.append([" ".join(block), *lead(right, labels)])
        all_right.append(right)
        all_labels.append(labels + 1000 * len(rows))
    rows.append(["all", *lead(np.concatenate(all_right, axis=2), np.concatenate(all_labels))])
    title = f"{chosen['first']} over {chosen['second']}, OA budget {budget:g}, points of TA"
    shown = tabulate(rows, ["block", "lead", "95 % interval"], tablefmt="github", disable_numparse=True)
    return f"{title}\n\n{shown}"


def block_of(complete: dict, pair: list[tuple[str, str]], budget: float, targets: list[int]):
    """Whether both are right, (2, S, N), on the N test images of the targets, and their labels (N,)."""
    right = []
    for tuner, variant in pair:
        tuned, _, labels = comparison.correctness([tuner], complete, variant, str(budget))
        mine = np.isin(labels, targets)
        right.append(tuned[0][:, mine])
    return np.array(right), labels[mine]


def lead(right, labels) -> list[str]:
    """Difference and interval in points."""
    found = pairwise(right, labels, None)
    return [f"{100 * found.difference[0, 1]:+.2f}", f"{100 * found.low[0, 1]:+.2f} to {100 * found.high[0, 1]:+.2f}"]


if __name__ == "__main__":
    main()
