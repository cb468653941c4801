"""``tunebench tune``."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Any

import click

from tunebench.cli.bars import Bars
from tunebench.cli.options import data_dir_option, limit_options, many, plugin_option
from tunebench.cli.output import say


@click.command(name="tune")
@click.option("--model", required=True, metavar="FILE.py:NAME|torchvision:NAME", help="Your network.")
@click.option("--weights", type=click.Path(path_type=Path), help="Its state dict: .safetensors, .pt or .pth.")
@click.option("--data", required=True, metavar="PATH|NAME", help="Folder of images by class, npz:FILE, or a data set.")
@click.option("--target", required=True, metavar="CLASS", help="Name or number of the class to raise.")
@click.option("--budget", type=float, default=0.5, show_default=True, help="Points of OA that may be lost.")
@click.option("--recall", type=float, metavar="SHARE", help="Least TA instead of a budget, such as 0.95.")
@click.option("--confidence", type=float, default=0.9, show_default=True, help="Of the certificate.")
@limit_options
@many("--tuner", "tuners", help="Name or glob; auto takes those that fit.  [auto]")
@click.option("--transform", metavar="FILE.py:NAME", help="Your transform, from PIL image to tensor.")
@click.option("--mean", type=float, multiple=True, help="Subtracted from pixels in [0, 1]; per channel or once.")
@click.option("--std", type=float, multiple=True, help="What they are divided by; per channel or once.")
@click.option("--trials", type=click.IntRange(2), default=30, show_default=True, help="Per tuner.")
@click.option("--export", "exports", multiple=True, type=click.Choice(["torch", "onnx"]), help="Write these files too.")
@click.option("--candidates", is_flag=True, help="Write every candidate's network too, for certify to walk.")
@click.option("-o", "--out", type=click.Path(path_type=Path), help="Folder for the results.  [tunebench-runs/tune]")
@click.option("-j", "--jobs", type=click.IntRange(1), help="Worker processes.  [usable cores]")
@click.option("-q", "--quiet", is_flag=True, help="No progress bars.")
@data_dir_option
@plugin_option
def command(**flags: Any) -> int:
    """Raise the recall of one class of your own trained network, and write the tuned network.

    Compares tuners on samples that the network has not seen, takes the one with the highest certified recall, and
    writes the same architecture with other numbers where that is possible.
    """
    from tunebench.datasets import Place
    from tunebench.grid.plan import RunOptions
    from tunebench.own import data as own_data
    from tunebench.own import report as reports
    from tunebench.own.candidates import write_candidates
    from tunebench.own.comparison import Wish, compare
    from tunebench.own.files import require_exports, require_no_links, write_network
    from tunebench.own.network import own_network, require_elsewhere
    from tunebench.own.pick import lines_of, pick
    from tunebench.own.timing import latency_ratios
    from tunebench.plugins import PluginFile
    from tunebench.selection.constraints import LIMITS
    from tunebench.workers.isolation import usable_cores

    require_exports(flags["exports"])
    out = flags["out"] or Path("tunebench-runs") / "tune"
    require_elsewhere(out, flags["weights"])
    require_no_links(out)
    transform = own_data.read_transform(flags["transform"]) if flags["transform"] else None
    inputs = own_data.Inputs(transform, flags["mean"], flags["std"])
    place = Place(flags["data_dir"])
    data = own_data.own_data(flags["data"], place, inputs)
    target = data.target(flags["target"])
    network = own_network(flags["model"], flags["weights"], data.dataset.shape, len(data.names))
    limits = {name: flags[name] for name in LIMITS if flags[name] not in (None, ())}
    demand = flags["budget"], flags["recall"], flags["confidence"]
    wish = Wish(target, flags["tuners"], *demand, trials=flags["trials"], limits=limits)
    options = RunOptions(
        out=out,
        jobs=flags["jobs"] or usable_cores(),
        place=place,
        plugins=tuple(PluginFile.read(path) for path in flags["plugins"]),
        latency=False,
    )
    say(f"data    {data.note}")
    bars = Bars(flags["quiet"])
    try:
        comparison = compare(network, data, wish, options, bars)
    finally:
        bars.end()
    lines = lines_of(comparison)
    choice = pick(lines, wish)
    command_line = shlex.join(["tunebench", *sys.argv[1:]])
    report = reports.Report(comparison, lines, choice, data.note, command_line)
    say(reports.opening(report))
    say("\n" + reports.table(report) + "\n")
    report.write(out)  # what was found is kept, whatever becomes of the files
    original, x = comparison.task.model, comparison.task.x_valid
    tuned = comparison.rebuild(choice.line.tuner, choice.line.variant)
    files = write_network(tuned, original, x, out, flags["exports"])
    if flags["candidates"]:
        files += write_candidates(comparison, lines, out / "candidates")
    latency = latency_ratios(comparison, lines, choice.line, tuned)
    report = reports.Report(comparison, lines, choice, data.note, command_line, files, latency)
    report.write(out)
    say(reports.closing(report))
    return 0
