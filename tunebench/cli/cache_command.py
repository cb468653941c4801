"""``tunebench cache``."""

from __future__ import annotations

import click


@click.command(name="cache")
@click.argument("action", type=click.Choice(["size", "clear"]), default="size")
def command(action: str) -> None:
    """Show the size of the cache of data, originals and activations, or clear it."""
    from tunebench.networks import cache

    if action == "clear":
        click.echo(f"freed {cache.clear_cache() / 1e6:.1f} MB in {cache.cache_root()}")
    else:
        click.echo(f"{cache.size_of_cache() / 1e6:.1f} MB in {cache.cache_root()}")
