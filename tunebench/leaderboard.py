"""Moved to `tunebench.boards.leaderboard` and `tunebench.results.reading`; this path keeps working."""

from tunebench.boards.leaderboard import Leaderboard, build
from tunebench.results.reading import read_records

__all__ = ["Leaderboard", "build", "read_records"]
