"""Are planned contrasts calibrated? Simulated nulls and planted effects; writes planned.md beside this file.

Usage: python leaderboards/aa/planned.py [RUN ...] [--nulls 2000] [--draws 200]. RUN are run folders whose stored
predictions are resampled; the committed leaderboards of converged originals by default.
"""

import argparse
from pathlib import Path

import numpy as np
from tabulate import tabulate

from tunebench.boards import calibration, comparison, contrasts, leaderboard

HERE = Path(__file__).parent
COMMITTED = [HERE.parent / name for name in ("mnist-converged", "fashion-mnist-converged")]
HEAD = """# Planned contrasts

Made by `python leaderboards/aa/planned.py --nulls {nulls} --draws {draws}`; `tox -e aa` takes the defaults. Every
tuner is held against the untuned original and against `logit-bias`: few enough questions for true differences to be
found among thirty tuners. How often equal tuners are called different, and how large a difference has to be to be
seen:"""


def main() -> None:
    """Measure, print and write planned.md."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", nargs="*", type=Path, default=COMMITTED)
    parser.add_argument("--nulls", type=int, default=2000)
    parser.add_argument("--draws", type=int, default=200)
    args = parser.parse_args()
    head = HEAD.format(nulls=args.nulls, draws=args.draws)
    text = "\n\n".join([head, nulls(args.runs, args.nulls), effects(args.runs, args.draws)])
    (HERE / "planned.md").write_text(text + "\n", encoding="utf-8")
    print(text)


CROWD = 30
"""How many tuners planned contrasts are calibrated with, at least."""
SIZES = (1.0, 2.0, 3.0)
"""Planted effects, in points of TA."""


def crowds(run: Path):
    """(name, variant, correct (T, S, N), labels (N,), targets, controls) of every block of a run and variant.

    The choices at the suite's budget and, where these are fewer than `CROWD`, those at other budgets as if they were
    other tuners'; last the untuned network.
    """
    for block, complete in leaderboard.complete_blocks(run):
        tuners = sorted(name for name in complete if name != contrasts.ZERO)
        budget = str(complete[tuners[0]][0]["options"]["budget"])
        for variant in comparison.RANKED:
            chosen = []
            for at in [budget, *(str(b) for b in (0.5, 0.1, 1.0, 0.0) if str(b) != budget)]:
                if len(chosen) * len(tuners) < CROWD:
                    tuned, original, labels = comparison.correctness(tuners, complete, variant, at)
                    chosen.append(tuned)
            correct = np.concatenate([*chosen, original[None]])
            controls = [len(correct) - 1, tuners.index(contrasts.BIAS)]
            yield " ".join(block), variant, correct, labels, [int(c) for c in block[2].split("+")], controls


def nulls(runs: list[Path], count: int) -> str:
    """Family-wise error of planned contrasts, with all seeds and with three."""
    rows, seen = [], set()
    for run in runs:
        for name, variant, correct, labels, targets, controls in crowds(run):
            if (place := (*name.split(" ")[:2], variant)) in seen:
                continue
            seen.add(place)
            for seeds in sorted({3, correct.shape[1]}):
                found = calibration.family_wise(correct[:, :seeds], labels, targets, controls, nulls=count)
                percent = (f"{100 * share:.2f} %" for share in (found.rate, found.upper))
                rows.append([name, variant, len(correct) - 1, seeds, count, *percent])
    headers = ["resampled from", "variant", "tuners", "seeds", "nulls", "family-wise rate", "upper 95 % bound"]
    words = (
        "Every tuner against the untuned original and against logit-bias: TA, Holm over these contrasts at 5 %; the "
        f"limit is 7 %. Where a board has fewer than {CROWD} tuners, their choices at other OA budgets count as tuners "
        "of their own."
    )
    table = tabulate(rows, headers, tablefmt="github", disable_numparse=True)
    return f"## No tuner is better\n\n{words}\n\n{table}"


def effects(runs: list[Path], draws: int) -> str:
    """How often a planted effect is found in planned contrasts, in every block of the runs and as a mean of each."""
    rows = [row for run in runs for row in found_in(run, draws)]
    shown = [[*row[:3], *(f"{100 * share:.0f} %" for share in row[3:])] for row in rows]
    headers = ["resampled from", "variant", "seeds"]
    headers += [f"+{size:g} over {control}" for control in contrasts.CONTROLS for size in SIZES]
    words = f"{draws} draws each, another tuner planted in each; how often it is found to be ahead."
    table = tabulate(shown, headers, tablefmt="github", disable_numparse=True)
    return f"## A planted effect\n\n{words}\n\n{table}"


def found_in(run: Path, draws: int) -> list[list]:
    """[block, variant, seeds, a share for each control and size] of every block of a run, then their means."""
    rows = []
    for name, variant, correct, labels, targets, controls in crowds(run):
        rates = [calibration.planned_power(correct, labels, targets, controls, size, draws=draws) for size in SIZES]
        rows.append([name, variant, correct.shape[1], *(both[k].rate for k in (0, 1) for both in rates)])
    for variant in comparison.RANKED:
        mine = [row for row in rows if row[1] == variant]
        means = np.mean([row[3:] for row in mine], axis=0)
        rows.append([f"mean of {run.name}", variant, mine[0][2], *means])
    return rows


if __name__ == "__main__":
    main()
