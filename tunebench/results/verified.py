"""Which files of a run folder have passed every check before, so that nobody waits for the same checks again."""

from __future__ import annotations

import hashlib
import sys
from functools import cache, cached_property
from pathlib import Path

from tunebench.cache import cache_root
from tunebench.digests import code_digest


class Verified:
    """Digests of what was found sound in one run folder, in a file of the cache: never in the folder itself.

    A digest covers where a file lies, all of its bytes and all of our own code, so that what was changed, moved or
    forged is checked again, and everything is when a check changes.
    """

    def __init__(self, out: Path) -> None:
        place = hashlib.sha256(bytes(out.resolve())).hexdigest()
        self.path = cache_root() / "verified" / place
        self.seen: set[str] = set()
        """What was found sound by this reader."""

    @cached_property
    def known(self) -> frozenset[str]:
        """What was found sound by the last one who read the whole folder; nothing if that cannot be read."""
        try:
            return frozenset(self.path.read_text("ascii").split())
        except (OSError, UnicodeDecodeError):
            return frozenset()

    def holds(self, digest: str) -> bool:
        """Whether what has this digest was found sound before."""
        if digest in self.known:
            self.seen.add(digest)
        return digest in self.seen

    @property
    def text(self) -> str | None:
        """What the file should say; None if it says so already."""
        return None if self.seen == self.known else "\n".join(sorted(self.seen)) + "\n"


def digest_of(place: str, raw: bytes) -> str:
    """Hex sha256 of a file's bytes, of where it lies in its run folder, and of the code that checks it."""
    return hashlib.sha256(f"{our_code()}\0{place}\0".encode() + raw).hexdigest()


@cache
def our_code() -> str:
    """Digest of the package."""
    return code_digest(sys.modules["tunebench"])
