"""Files that a user names, and that may come from anyone: regular ones of a bearable size alone."""

from __future__ import annotations

from pathlib import Path

from tunebench.errors import UsageError


def require_regular(path: Path, what: str, most: int | None = None) -> None:
    """UsageError unless ``path`` leads to a regular file of at most ``most`` bytes.

    Whoever opens a pipe waits for somebody to write, and a device never ends.
    """
    try:
        size = path.stat().st_size
        if not path.is_file():
            raise UsageError(f"{what} is no regular file; name one")
        path.open("rb").close()
    except (OSError, ValueError) as exc:
        raise UsageError(f"{what}: {getattr(exc, 'strerror', None) or exc}") from exc
    if most is not None and size > most:
        raise UsageError(f"{what} is larger than {most / 2**20:.0f} MiB; name another file")
