"""The script that draws the charts of a page, from vl-convert; bundling takes seconds, so it lies in the cache.

A run has it written beside its cells, since it depends on none of them. A page that finds none writes it itself.
"""

from __future__ import annotations

from importlib import metadata
from pathlib import Path

from tunebench.cache import cache_root, cached_folder
from tunebench.errors import StoreError

NAME = "vega.js"


def folder() -> Path:
    """Where the script of the installed vl-convert lies once it is written."""
    return cache_root() / "page" / metadata.version("vl-convert-python")


def make() -> None:
    """Write the script unless it is there; StoreError when the cache cannot be written."""
    cached_folder(folder(), bundle)


def bundle(empty: Path) -> None:
    """Write the script into a folder that is ``empty``."""
    (empty / NAME).write_text(bundled(), encoding="utf-8")


def bundled() -> str:
    """The script, made in seconds."""
    import vl_convert

    return str(vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;"))


def script() -> str:
    """The script, to stand inside an HTML element; made anew where no cache can be, or holds none any more."""
    try:
        make()
        text = (folder() / NAME).read_text(encoding="utf-8")
    except (StoreError, OSError, UnicodeDecodeError):
        text = bundled()
    return text.replace("</script", "<\\/script")
