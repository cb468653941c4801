"""Is the certificate kept? Exact rates, draws, power and stored predictions; writes certificates.md beside this file.

Usage: python leaderboards/aa/certificates.py [RUN ...] [--draws 20000]. RUN are run folders from whose stored
predictions samples are drawn; the committed leaderboards by default.
"""

import argparse
import itertools
from pathlib import Path

import numpy as np
from tabulate import tabulate

from tunebench.boards import calibration, leaderboard
from tunebench.results.predictions import predictions_of
from tunebench.selection.certificate import quantile, samples_needed, spare
from tunebench.selection.power import certified_chance

HERE = Path(__file__).parent
COMMITTED = [HERE.parent / name for name in ("mnist", "fashion-mnist", "mnist-converged", "fashion-mnist-converged")]
DISCORDANCES = (0.0005, 0.002, 0.01, 0.02, 0.05)
SAMPLES = (300, 1000, 5000, 20_000)
ERRORS = (0.05, 0.1, 0.2)
BUDGETS = (0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01)
ALLOWED = 0.005
"""By how much the upper 95 % bound of a simulated rate may exceed what is promised."""

HEAD = """# Certificates

Made by `tox -e aa`. A certificate says that OA falls by at most a budget, with a confidence of 1 - delta; it is false
where the true loss exceeds the budget. The rate of false ones is highest where the loss *is* the budget: that is what
is computed here."""


def main() -> None:
    """Measure, print and write certificates.md."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", nargs="*", type=Path, default=COMMITTED)
    parser.add_argument("--draws", type=int, default=20_000)
    args = parser.parse_args()
    rng = np.random.default_rng(0)
    text = "\n\n".join([HEAD, exact(), drawn(args.draws, rng), wide(), power(), resampled(args.runs, args.draws, rng)])
    (HERE / "certificates.md").write_text(text + "\n", encoding="utf-8")
    print(text)


def table(rows, headers) -> str:
    """A Markdown table."""
    return tabulate(rows, headers, tablefmt="github", disable_numparse=True)


def losses_of(discordance: float) -> list[float]:
    """Budgets that a network with this share of changes can lose: the listed ones, and all changes lost."""
    return [budget for budget in BUDGETS if budget < discordance] + [discordance]


def exact() -> str:
    """Highest exact rate of false certificates over the budgets, for every discordance, n and delta."""
    rows = []
    for discordance, n in itertools.product(DISCORDANCES, SAMPLES):
        rates = [
            max(certified_chance(n, b, discordance, b, 1 - delta) for b in losses_of(discordance)) for delta in ERRORS
        ]
        kept = all(rate <= delta for rate, delta in zip(rates, ERRORS, strict=True))
        rows.append(
            [f"{100 * discordance:g} %", f"{n:,}", *(f"{100 * r:.2f} %" for r in rates), "yes" if kept else "NO"]
        )
    headers = ["discordance", "n", *(f"delta {d:g}" for d in ERRORS), "kept"]
    budgets = ", ".join(f"{100 * b:g}" for b in BUDGETS)
    words = f"Exact, over the trinomial: highest rate over true losses of {budgets} points and of all changes."
    return f"## False certificates, exact\n\n{words}\n\n{table(rows, headers)}"


def drawn(draws: int, rng: np.random.Generator) -> str:
    """The same by simulation, with upper bounds."""
    worst, cases = {}, 0
    for discordance, n, delta in itertools.product(DISCORDANCES, SAMPLES, ERRORS):
        for loss in losses_of(discordance):
            shares = [(discordance + loss) / 2, (discordance - loss) / 2, 1 - discordance]
            lost, gained, _ = rng.multinomial(n, shares, draws).T
            rate = calibration.rate((spare(lost, gained, n, loss, quantile(1 - delta)) >= 0).tolist())
            cases += 1
            found = (rate.upper - delta, rate, discordance, n, loss)
            worst[delta] = max(worst.get(delta, found), found, key=lambda f: f[0])
    rows = [
        [
            f"{delta:g}",
            f"{100 * d:g} %",
            f"{n:,}",
            f"{100 * loss:g}",
            f"{100 * rate.rate:.2f} %",
            f"{100 * rate.upper:.2f} %",
            "yes" if excess <= ALLOWED else "NO",
        ]
        for delta, (excess, rate, d, n, loss) in worst.items()
    ]
    headers = ["delta", "discordance", "n", "true loss = budget", "rate", "upper 95 % bound", "within 0.5 points"]
    words = f"The worst of {cases} cases, {draws:,} draws each."
    return f"## False certificates, simulated\n\n{words}\n\n{table(rows, headers)}"


def wide() -> str:
    """Highest exact rate over a grid far beyond what is asked for, as a share of what is promised."""
    worst = (0.0, ())
    sizes, budgets = (3, 7, 15, 30, 50, 100, 300, 1000, 3000, 20_000), (0.0, 0.0005, 0.002, 0.01, 0.05, 0.2, 0.8)
    for n, budget, delta in itertools.product(sizes, budgets, (0.001, 0.01, 0.05, 0.1, 0.2, 0.4, 0.499)):
        for share in np.unique(np.minimum(1, budget + np.r_[1e-9, np.geomspace(0.001, 1, 16), 0.9, 0.97, 0.99, 1])):
            chance = certified_chance(n, budget, float(share), budget, 1 - delta)
            worst = max(worst, (chance / delta, (n, budget, float(share), delta)))
    ratio, (n, budget, share, delta) = worst
    return (
        "## Any network, any number of samples\n\nOver n from 3 to 20,000, budgets from 0 to 80 points, delta "
        f"from 0.001 to 0.499 and discordance up to 100 %, the rate of false certificates is at most {ratio:.4f} of "
        f"delta (n {n:,}, budget {100 * budget:g}, discordance {100 * share:.4g} %, delta {delta:g})."
    )


def power() -> str:
    """Samples for a certificate with a chance of 80 %, beside Tango's asymptotic test, whose size is not kept."""
    rows = []
    for budget, discordance in (
        (0.002, 0.005),
        (0.002, 0.01),
        (0.005, 0.01),
        (0.005, 0.02),
        (0.005, 0.05),
        (0.01, 0.05),
    ):
        n = samples_needed(budget, 0.9, discordance)
        asymptotic = (quantile(0.9) + quantile(0.8)) ** 2 * discordance / budget**2
        chances = [certified_chance(round(part * n), 0.0, discordance, budget, 0.9) for part in (0.5, 1, 2)]
        rows.append(
            [f"{100 * budget:g}", f"{100 * discordance:g} %", f"{n:,}", f"{asymptotic:,.0f}", f"{n / asymptotic:.2f}"]
            + [f"{100 * chance:.0f} %" for chance in chances]
        )
    headers = ["budget", "discordance", "n for 80 %", "Tango, asymptotic", "ratio", "at n / 2", "at n", "at 2 n"]
    return f"## Power\n\nTrue loss 0, confidence 90 %; chances are exact.\n\n{table(rows, headers)}"


def resampled(runs: list[Path], draws: int, rng: np.random.Generator) -> str:
    """False certificates for tuned networks as they are: samples drawn from stored predictions."""
    rows, per_network = [], max(100, draws // 100)
    for run in runs:
        for budget, delta in itertools.product(("0.0", "0.1", "0.2", "0.5", "1.0"), (0.1,)):
            false, given, total = [], 0, 0
            for lost, gained, n in counts(run, budget):
                loss, size = (lost - gained) / n, 3 * n // 4
                drawn = rng.multinomial(size, [lost / n, gained / n, 1 - (lost + gained) / n], per_network)
                passed = spare(drawn[:, 0], drawn[:, 1], size, float(budget) / 100, quantile(1 - delta)) >= 0
                given, total = given + int(passed.sum()), total + per_network
                if loss > float(budget) / 100:
                    false.append(passed.mean())
            rows.append(
                [run.name, f"{float(budget):g}", f"{total:,}", f"{100 * given / total:.0f} %", str(len(false))]
                + ([f"{100 * np.mean(false):.2f} %", f"{100 * max(false):.2f} %"] if false else ["", ""])
            )
    headers = [
        "board",
        "budget",
        "draws",
        "certified",
        "networks that exceed it",
        "false, mean",
        "false, worst network",
    ]
    words = (
        "Every tuner's plain and shifted choice of the committed boards, all blocks and seeds; the test split stands "
        "for the truth and samples of three quarters of its size are drawn from it. Confidence 90 %: for a network "
        "that exceeds the budget at most 10 % of its draws may be certified, but for the noise of one network's draws."
    )
    return f"## Stored predictions\n\n{words}\n\n{table(rows, headers)}"


def counts(run: Path, budget: str):
    """Lost, gained and n on test of every choice of a run at a budget."""
    for _, complete in leaderboard.complete_blocks(run):
        for records in complete.values():
            for record, variant in itertools.product(records, ("plain", "shifted")):
                labels, original, tuned = predictions_of(record, variant, budget)
                before, after = original == labels, tuned == labels
                yield int((before & ~after).sum()), int((~before & after).sum()), len(labels)


if __name__ == "__main__":
    main()
