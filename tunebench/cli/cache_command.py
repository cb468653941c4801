"""``tunebench cache``."""

from __future__ import annotations

import click

from tunebench.cli.output import say


@click.command(name="cache")
@click.argument("action", type=click.Choice(["size", "clear"]), default="size")
def command(action: str) -> None:
    """Show the size of the cache of data, originals and activations, or clear it."""
    from tunebench.networks import cache

    if action == "clear":
        say(f"freed {cache.clear_cache() / 1e6:.1f} MB in {cache.cache_root()}")
    else:
        say(f"{cache.size_of_cache() / 1e6:.1f} MB in {cache.cache_root()}")
