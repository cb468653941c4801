"""``tunebench cache``."""

from __future__ import annotations

import click

from tunebench.cli.output import say


@click.command(name="cache")
@click.argument("action", type=click.Choice(["size", "clear"]), default="size")
def command(action: str) -> None:
    """Show the size of the cache of data, originals and activations, or clear it.

    What a running run uses is left.
    """
    from tunebench import cache

    if action == "clear":
        done = cache.clear_cache()
        runs = "1 run that is on" if done.runs == 1 else f"{done.runs} runs that are on"
        left = f"; left {done.left / 1e6:.1f} MB for {runs}" if done.runs else ""
        say(f"freed {done.freed / 1e6:.1f} MB in {cache.cache_root()}{left}")
    else:
        say(f"{cache.size_of_cache() / 1e6:.1f} MB in {cache.cache_root()}")
