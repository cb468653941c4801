"""``tunebench run``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from tunebench.cli.bars import Bars
from tunebench.cli.options import data_dir_option, limit_options, many, plugin_option
from tunebench.cli.output import say
from tunebench.console import loading


@click.command(name="run")
@click.argument("suite", type=click.Path(path_type=Path), required=False)
@many(
    "-d",
    "--dataset",
    "datasets",
    help="Data set: a name or glob, npz:FILE, imagefolder:DIR (or an archive of it), such as mnist or 'emnist-*'.",
)
@many(
    "-m",
    "--model",
    "models",
    help="Network: a name or glob, mlp:W1-W2-..., FILE.py:NAME, torchvision:NAME; MODEL+NAME compresses it.",
)
@many("-t", "--tuner", "tuners", help="Tuner: a name or glob, such as logit-bias or 'sj*'.")
@many("--target", "targets", help="weakest, weakest:N, all, a class, or classes joined by +, such as 5 or 3+5.")
@click.option("--seeds", type=int, help="Number of originals, trained from seeds 0 to N-1.")
@click.option("--trials", type=int, help="Trials per search, the unchanged original included.  [30]")
@click.option(
    "--budget", type=float, metavar="PP", help="OA that may be lost on validation, in points, such as 0.5.  [0.2]"
)
@click.option(
    "--recall", type=float, metavar="SHARE", help="Instead: the least TA, such as 0.95, at the least OA loss."
)
@click.option("--confidence", type=float, metavar="SHARE", help="Of certificates, such as 0.95.  [0.9]")
@click.option("--margin", help="1se: select more cautiously, by one standard error.  [none]")
@limit_options
@click.option("--protocol", help="holdout, or paper (selects on test, and says so).  [holdout]")
@click.option("--recipe", help="How originals are trained: paper, converged, quick or light.")
@click.option("-j", "--jobs", type=click.IntRange(1), help="Worker processes.  [usable cores]")
@click.option("--timeout", help="Of one cell, such as 90s or 10m.  [10m]")
@click.option(
    "--device", type=click.Choice(["auto", "cpu", "cuda"]), default="cpu", show_default=True, help="Where to compute."
)
@data_dir_option
@click.option("--download", is_flag=True, help="Fetch missing data sets.")
@click.option("-o", "--out", type=click.Path(path_type=Path), help="Run folder.  [tunebench-runs/SUITE]")
@plugin_option
@click.option("--dry-run", is_flag=True, help="Print the grid and an estimate; do nothing.")
@click.option("--no-cache", is_flag=True, help="Compute every cell again.")
@click.option("--retry-failed", is_flag=True, help="Compute failed cells again.")
@click.option("--no-latency", is_flag=True, help="Measure no latency; the same command without it does so later.")
@click.option("--explain-cache", is_flag=True, help="Say of every cell why it is reused or computed.")
@click.option("--executor", default="processes", show_default=True, help="Or dask://HOST:PORT, a dask scheduler.")
@click.option("--memory", metavar="SIZE", help="Of one cell on the CPU, such as 2G.  [the machine's, divided by -j]")
@click.option(
    "--optuna-storage", metavar="URL", help="Keep the searches as Optuna studies, such as sqlite:///studies.db."
)
@click.option("-q", "--quiet", is_flag=True, help="No progress bars.")
def command(suite: Path | None, **flags: Any) -> int:
    """Run SUITE (a TOML file; without one, the embedded digits suite) and print its leaderboard.

    Finished cells are kept and never run again, so the same command continues an interrupted run.
    """
    from tunebench.grid.suite import load_suite
    from tunebench.selection.constraints import LIMITS

    names = (
        "datasets",
        "models",
        "tuners",
        "targets",
        "seeds",
        "trials",
        "budget",
        "recall",
        "confidence",
        "margin",
        "protocol",
        "recipe",
        *LIMITS,
    )
    chosen = load_suite(suite, {name: flags[name] for name in (*names, "timeout")})
    out = flags["out"] or Path("tunebench-runs") / chosen.name

    from tunebench.results.store import Store
    from tunebench.workers.engines import LocalEngine

    here = flags["executor"] == "processes" and not flags["dry_run"]
    new = here and not Store(out).lock_path.exists()  # a finished run needs no workers, and its page stays
    if new:
        LocalEngine(1).warm_up()  # their server loads torch beside us, who do so now

    with loading():
        from tunebench.boards import leaderboard, tables, vega
        from tunebench.datasets import Place
        from tunebench.grid import estimate, plan, runner, studies
        from tunebench.plugins import PluginFile
        from tunebench.results.cells import FAILURES, UNDONE
        from tunebench.workers.isolation import usable_cores

    options = plan.RunOptions(
        out=out,
        jobs=flags["jobs"] or usable_cores(),
        place=Place(flags["data_dir"], flags["download"]),
        plugins=tuple(PluginFile.read(path) for path in flags["plugins"]),
        device=pick_device(flags["device"]),
        retry_failed=flags["retry_failed"],
        no_cache=flags["no_cache"],
        explain=flags["explain_cache"],
        latency=not flags["no_latency"],
        executor=flags["executor"],
        memory=plan.bytes_of(flags["memory"]) if flags["memory"] else None,
    )
    storage = studies.opened(flags["optuna_storage"]) if flags["optuna_storage"] else None
    if flags["dry_run"]:
        say(estimate.describe(chosen, options))
        return 0
    bars, errand = Bars(flags["quiet"]), None if vega.folder().is_dir() else vega.make
    try:
        counts = runner.run(chosen, options, bars, errand, tables.load_page if new else None)
    finally:
        bars.end()
    board = leaderboard.build(options.out)
    tables.write_files(board, options.out)
    if storage is not None:
        studies.keep(options.out, storage, options.plugins)
    say(tables.render(board, "table"))
    say(", ".join(f"{count} {status}" for status, count in sorted(counts.items())) + f"; {options.out}")
    return 1 if {*FAILURES, UNDONE} & counts.keys() else 0


def pick_device(name: str) -> str:
    """``cpu`` or ``cuda``; ``auto`` takes a GPU where there is one."""
    if name == "cpu":
        return name
    import torch

    from tunebench.errors import UsageError

    if torch.cuda.is_available():
        return "cuda"
    if name == "cuda":
        raise UsageError("--device cuda: torch finds no GPU here; use --device cpu")
    return "cpu"
