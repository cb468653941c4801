"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from tunebench.cli.completion import noted

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


def many(*names: str, help: str) -> Decorator:
    """An option that may be repeated; empty when it is not given. Its last name is what `list` calls such things."""
    return click.option(*names, multiple=True, metavar="NAME", help=help, shell_complete=noted(names[-1]))


data_dir_option: Decorator = click.option(
    "--data-dir",
    type=click.Path(path_type=Path, resolve_path=True),
    envvar="TUNEBENCH_DATA",
    help="Folder with the data sets in torchvision's layout.  [$TUNEBENCH_DATA]",
)
plugin_option: Decorator = click.option(
    "--plugin",
    "plugins",
    multiple=True,
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="A Python file with a Tuner; may be repeated.",
)


LIMIT_OPTIONS: tuple[Decorator, ...] = (
    click.option("--max-steps", type=int, metavar="N", help="Training steps that a trial may take.  [2000]"),
    click.option(
        "--protect",
        multiple=True,
        metavar="CLASS[:PP]",
        help="A class that may lose at most PP points of recall on validation, such as 3:0.5.  [PP: 0]",
    ),
    click.option(
        "--synapse-layers", metavar="LAYERS", help="Hidden layers that get synapses: 0,1 or -1 or 'not 0'.  [all]"
    ),
    click.option("--max-new-params", type=int, metavar="N", help="Non-zero parameters that may be added.  [any]"),
    click.option("--max-weight", type=float, metavar="W", help="Largest size of a new weight.  [any]"),
)


def limit_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """The options that say what no choice may break; their names are `selection.constraints.LIMITS`."""
    for option in reversed(LIMIT_OPTIONS):
        function = option(function)
    return function
