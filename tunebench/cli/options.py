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
