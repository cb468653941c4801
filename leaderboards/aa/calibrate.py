"""Is the leaderboard calibrated? A/A on twins, simulated nulls and planted effects; writes README.md beside this file.

Usage: python leaderboards/aa/calibrate.py [RUN ...] [--nulls 2000] [--draws 200]. RUN are run folders whose stored
predictions the nulls are resampled from; the committed leaderboards by default. The A/A suite has to be run first:
tunebench run leaderboards/aa/suite.toml --plugin leaderboards/aa/twins.py -o leaderboards/aa/run
"""

import argparse
from pathlib import Path

from tabulate import tabulate

from tunebench.boards import calibration, comparison, leaderboard

HERE = Path(__file__).parent
COMMITTED = [HERE.parent / name for name in ("mnist", "fashion-mnist")]


def main() -> None:
    """Measure, print and write README.md."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", nargs="*", type=Path, default=COMMITTED)
    parser.add_argument("--nulls", type=int, default=2000)
    parser.add_argument("--draws", type=int, default=200)
    args = parser.parse_args()
    parts = [twins(HERE / "run"), nulls(args.runs, args.nulls), effects(args.runs, args.draws)]
    text = "\n\n".join([HEAD, *parts])
    (HERE / "README.md").write_text(text + "\n", encoding="utf-8")
    print(text)


HEAD = """# Calibration

Made by `tox -e aa`. A leaderboard is only worth its error rate: these figures say how often it would call equal tuners
different, and how large a difference has to be for it to be seen.
[Certificates](certificates.md) and [planned contrasts](planned.md) are calibrated apart."""


def twins(run: Path) -> str:
    """The A/A table: tuners under two names, other seeds, same originals."""
    pairs = leaderboard.build(run).pairs
    mine = [pair for pair in pairs if pair["tuner_a"][:-2] == pair["tuner_b"][:-2]]
    found = sum(pair["ta_p_holm"] <= 0.05 for pair in mine)
    rows = [
        [
            f"{pair['dataset']} {pair['model']} {pair['target']}",
            pair["tuner_a"][:-2],
            pair["variant"],
            f"{100 * pair['ta_difference']:+.2f}",
            f"{100 * pair['ta_low']:+.2f} to {100 * pair['ta_high']:+.2f}",
            f"{pair['ta_p_holm']:.2f}",
            f"{pair['oa_p_holm']:.2f}",
        ]
        for pair in mine
    ]
    headers = ["block", "tuner", "variant", "TA difference", "95 % interval", "Holm p, TA", "Holm p, OA"]
    table = tabulate(rows, headers, tablefmt="github", disable_numparse=True)
    return f"## A/A: one tuner under two names\n\n{found} of {len(mine)} pairs of twins differ at 5 %.\n\n{table}"


def blocks(run: Path):
    """(name, seeds, correct (T, S, N), labels (N,), targets) of the first block of every model of a run."""
    seen = set()
    for block, complete in leaderboard.complete_blocks(run):
        if block[:2] not in seen:
            seen.add(block[:2])
            tuners = sorted(complete)
            budget = str(complete[tuners[0]][0]["options"]["budget"])
            correct, _, labels = comparison.correctness(tuners, complete, "plain", budget)
            yield " ".join(block), correct.shape[1], correct, labels, [int(c) for c in block[2].split("+")]


def nulls(runs: list[Path], count: int) -> str:
    """Family-wise error on nulls resampled from stored predictions."""
    rows = []
    for run in runs:
        for name, seeds, correct, labels, targets in blocks(run):
            rate = calibration.family_wise(correct, labels, targets, nulls=count)
            rows.append([name, len(correct), seeds, count, f"{100 * rate.rate:.2f} %", f"{100 * rate.upper:.2f} %"])
    headers = ["resampled from", "tuners", "seeds", "nulls", "family-wise rate", "upper 95 % bound"]
    table = tabulate(rows, headers, tablefmt="github", disable_numparse=True)
    return (
        f"## All pairs, exploratory: no tuner is better\n\nTA, Holm over all pairs at 5 %; the limit is 7 %.\n\n{table}"
    )


SIZES = (2.0, 3.0, 4.0, 5.0, 8.0, 12.0)
POWER = 0.8


def effects(runs: list[Path], draws: int) -> str:
    """How often a planted effect is found, in the whole family and for a single pair."""
    rows, found = [], []
    for run in runs:
        name, seeds, correct, labels, targets = next(iter(blocks(run)))
        rates = [
            [calibration.power(c, labels, targets, size, draws=draws).rate for c in (correct, correct[:2])]
            for size in SIZES
        ]
        for size, both in zip(SIZES, rates, strict=True):
            rows.append([name, seeds, f"+{size:g}", *(f"{100 * rate:.0f} %" for rate in both)])
        least = [
            next((f"+{s:g}" for s, both in zip(SIZES, rates, strict=True) if both[k] >= POWER), None) for k in (0, 1)
        ]
        family, pair = (size or f"more than +{SIZES[-1]:g}" for size in least)
        found.append(f"- {name}, {seeds} seeds: {family} points among all tuners, {pair} for one pair")
    headers = ["resampled from", "seeds", "planted TA", "found among all tuners", "found for one pair"]
    table = tabulate(rows, headers, tablefmt="github", disable_numparse=True)
    remark = f"{draws} draws each. The smallest planted effect that is found in {100 * POWER:.0f} % of them:"
    return "\n\n".join(["## All pairs, exploratory: a planted effect", remark, "\n".join(found), table])


if __name__ == "__main__":
    main()
