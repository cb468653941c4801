"""``tunebench list``."""

from __future__ import annotations

import json
from pathlib import Path

import click

from tunebench.cli import completion
from tunebench.cli.options import plugin_option
from tunebench.cli.output import say

KINDS = ("tuners", "datasets", "models", "compressions", "plugins")
HONOURS = "honours"
"""Key of the limits that each tuner keeps in all that it proposes."""


@click.command(name="list")
@click.argument("kind", type=click.Choice(KINDS), required=False)
@click.option("--json", "as_json", is_flag=True, help="Machine readable.")
@click.option("--markdown", is_flag=True, help="As a Markdown table, such as docs/tuners.md.")
@plugin_option
def command(kind: str | None, as_json: bool, markdown: bool, plugins: tuple[Path, ...]) -> None:
    """List tuners, data sets, models, compressions and plugins; everything without KIND."""
    key = None if plugins else completion.code_key()
    found = completion.recalled(key) if key else None
    if found is None:
        found, whole = look(plugins)
        if key and whole:
            completion.note(found, key)
    chosen = {name: found[name] for name in ((kind,) if kind else KINDS)}
    if as_json:
        honours = {name: text.split(", ") if text else [] for name, text in found[HONOURS].items()}
        say(json.dumps(chosen | ({HONOURS: honours} if "tuners" in chosen else {}), indent=1))
        return
    for title, entries in chosen.items():
        if markdown:
            rows = "\n".join(f"| `{name}` | {text} |" for name, text in entries.items())
            say(f"# {title.capitalize()}\n\n| name | what it is |\n|---|---|\n{rows}")
            continue
        if not kind:
            say(f"{title}:")
        width = max(map(len, entries), default=0)
        for name, text in entries.items():
            say(f"  {name:<{width}}  {text}")


def look(plugins: tuple[Path, ...]) -> tuple[completion.Found, bool]:
    """What there is of every kind, with the plugin files ``plugins``; and whether every plugin could be used."""
    from tunebench.datasets import dataset_names
    from tunebench.networks.spec import LIGHT, PAPER_WIDTHS
    from tunebench.plugins import PluginFile, load_registry, summary_of

    registry = load_registry([PluginFile.read(path) for path in plugins])
    found = {
        "tuners": {name: summary_of(tuner) for name, tuner in registry.tuners.items()},
        "datasets": dict.fromkeys(dataset_names(), "bundled")
        | dict.fromkeys(registry.named("tunebench_datasets"), "plugin")
        | {
            "npz:FILE": "x_train, y_train, x_test, y_test",
            "imagefolder:DIR": "train/ and test/, or one tree; a folder or its tar or zip archive",
        },
        "models": {name: "-".join(map(str, widths)) for name, widths in PAPER_WIDTHS.items()}
        | LIGHT
        | dict.fromkeys(registry.named("tunebench_models"), "plugin")
        | {
            "mlp:W1-W2-...": "any hidden widths",
            "torchvision:NAME": "any of its classifiers, fitted to the data",
            "FILE.py:NAME": "class, function or instance of torch.nn.Module, or a ModelSpec",
            "MODEL+NAME": "any of these, compressed by NAME: see tunebench list compressions",
        },
        "compressions": {written: summary_of(item) for written, item in registry.written_compressions()},
        "plugins": {name: "ok" for name, _ in registry.manager.list_name_plugin()} | registry.problems,
        HONOURS: {name: ", ".join(sorted(tuner.honours)) for name, tuner in registry.tuners.items()},
    }
    return found, not registry.problems
