"""Moved to `tunebench.boards.leaderboard`; this path keeps working."""

from tunebench.boards.leaderboard import Leaderboard, build, read_records

__all__ = ["Leaderboard", "build", "read_records"]
