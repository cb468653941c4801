"""``tunebench`` and ``python -m tunebench``, which are to find the same modules."""

import contextlib
import os
import sys

with contextlib.suppress(OSError):  # of a working directory that is gone
    if sys.path[:1] == [os.getcwd()]:  # put there by -m: a random.py beside the user's data is none of ours
        del sys.path[0]

from tunebench.console import open_streams, signals


def main() -> None:
    """Run the command line in a process of its own."""
    with signals():
        open_streams()
        from tunebench.cli import main as run

        run()


if __name__ == "__main__":
    main()
