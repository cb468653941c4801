"""``tunebench certify``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click import UsageError

from tunebench.cli.options import data_dir_option
from tunebench.cli.output import say

if TYPE_CHECKING:
    import numpy as np

FILE = click.Path(path_type=Path)


@click.command(name="certify")
@click.option(
    "--original",
    required=True,
    type=FILE,
    help="The network before: .safetensors, .pt, .pth, or .pt2, which is code.",
)
@click.option(
    "--tuned",
    required=True,
    type=FILE,
    multiple=True,
    help="The network after, or several, safest first: files, or OUT/candidates of tune.",
)
@click.option("--model", metavar="FILE.py:NAME", help="What the numbers are of, where a file holds no .pt2 program.")
@click.option("--data", metavar="PATH|NAME", help="Labelled samples: images by class, or a data set's test part.")
@click.option("--unlabelled", type=FILE, help="Images without labels, anywhere below a folder.")
@click.option("--ask", type=FILE, metavar="CSV", help="Write the samples whose label matters here.")
@click.option("--answers", type=FILE, metavar="CSV", help="The same file, filled in.")
@click.option("--classes", metavar="NAMES", help="Of the outputs, joined by commas.  [their numbers]")
@click.option("--budget", type=float, default=0.5, show_default=True, help="Points of OA that may be lost.")
@click.option("--confidence", type=float, default=0.9, show_default=True, help="Of the certificate.")
@click.option("--transform", metavar="FILE.py:NAME", help="Your transform, from PIL image to tensor.")
@click.option("--mean", type=float, multiple=True, help="Subtracted from pixels in [0, 1]; per channel or once.")
@click.option("--std", type=float, multiple=True, help="What they are divided by; per channel or once.")
@data_dir_option
def command(**flags: Any) -> int:
    """Certify that a tuned network loses at most a budget of accuracy on new data.

    The samples have to be new to both networks. Without labels, --ask writes those few on which the networks disagree,
    and --answers reads them back. The number of samples is fixed: settle it before any label is known, and do not add
    samples until it fits. Exits with 1 where nothing is certified.
    """
    from tunebench.own import answers
    from tunebench.own.candidates import path_of
    from tunebench.own.data import Inputs, read_transform
    from tunebench.own.given import predictions
    from tunebench.own.promise import disputed, promise, require_enough, told
    from tunebench.selection.certificate import check_share, quantile

    asked = flags["ask"] is not None or flags["answers"] is not None
    if (flags["ask"] is not None and flags["answers"] is not None) or asked == (flags["unlabelled"] is None):
        raise UsageError("--unlabelled DIR goes with --ask CSV first, then with --answers CSV")
    if not asked and flags["data"] is None:
        raise UsageError("give labelled samples with --data, or --unlabelled DIR and --ask CSV")
    if flags["ask"] is not None:
        answers.require_free(flags["ask"])
    budget, confidence = flags["budget"] / 100, flags["confidence"]
    quantile(confidence)
    tuned = path_of(flags["tuned"])
    check_share("budget / 100", budget)
    transform = read_transform(flags["transform"]) if flags["transform"] else None
    inputs = Inputs(transform, flags["mean"], flags["std"])
    x, labels, paths, names = samples(flags, inputs)
    require_enough(len(x), budget, confidence)
    found = [predictions(file, flags["model"], x, len(names) or None) for file in (flags["original"], *tuned)]
    outputs = {count for _, count in found}
    if len(outputs) > 1 or (names and len(names) not in outputs):
        raise UsageError(f"the networks have {sorted(outputs)} outputs and there are {len(names) or 'as many'} classes")
    names = names or [str(k) for k in range(found[0][1])]
    original, *path = (classes for classes, _ in found)
    rows = disputed(original, path).nonzero()[0].tolist()
    if flags["ask"] is not None:
        answers.ask(flags["ask"], paths, [original, *path], rows, names)
        say(f"{len(rows):,} of {len(x):,} samples need a label; fill in the last column of {flags['ask']}")
        return 0
    if flags["answers"] is not None:
        labels = answers.answered(flags["answers"], paths, rows, names)
    result = promise(original, path, labels, budget, confidence)
    say(told(result))
    if result.passed and len(path) > 1:
        say(f"furthest certified: {tuned[result.passed - 1]}")
    return 0 if result.passed else 1


def samples(flags: dict[str, Any], inputs: Any) -> tuple[np.ndarray, np.ndarray, list[str], list[str]]:
    """Inputs, labels (-1 where unknown), paths and class names (empty where unknown)."""
    import numpy as np

    from tunebench.datasets import Place
    from tunebench.own.data import images, named_data, unlabelled

    names = [name.strip() for name in flags["classes"].split(",")] if flags["classes"] else []
    if flags["unlabelled"] is not None:
        x, paths = unlabelled(flags["unlabelled"], inputs)
        return x, np.full(len(x), -1), paths, names
    folder = Path(flags["data"].removeprefix("imagefolder:")).expanduser()
    if folder.is_dir():
        found = images(folder, inputs)
        return found.x, found.y, found.paths, found.names
    dataset = named_data(flags["data"], Place(flags["data_dir"]), inputs).dataset
    part = dataset.test()
    return part.x.numpy(), part.y.numpy(), [str(k) for k in range(len(part.y))], list(dataset.class_names)
