"""Moved to `tunebench.boards.tables`; this path keeps working."""

from tunebench.boards.tables import frame, render, write_files

__all__ = ["frame", "render", "write_files"]
