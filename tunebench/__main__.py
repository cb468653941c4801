"""``tunebench`` and ``python -m tunebench``, which are to find the same modules."""

import _signal  # type: ignore[import-not-found]  # `signal` loads others first; this one Python has loaded itself
import os
import sys


def give_up(number: int, frame: object) -> None:
    """Handle Ctrl-C until `tunebench.cli` is there to do it: nothing has begun, so that nothing has to be ended.

    What is pressed before this module runs, while Python itself starts, nobody can handle.
    """
    os.write(2, b"tunebench: interrupted\n")
    os._exit(128 + number)


if _signal.getsignal(_signal.SIGINT) is _signal.default_int_handler:
    _signal.signal(_signal.SIGINT, give_up)


def leave_working_directory_out() -> None:
    """Undo what ``-m`` does to ``sys.path``: a random.py beside the user's data is none of ours."""
    from contextlib import suppress

    with suppress(OSError):  # of a working directory that is gone
        if sys.path[:1] == [os.getcwd()]:
            del sys.path[0]


leave_working_directory_out()


def main() -> None:
    """Run the command line in a process of its own."""
    import gc

    from tunebench.console import open_streams

    open_streams()
    from tunebench.cli import main as run

    try:
        run()
    finally:
        gc.freeze()  # else Python looks for cycles once more among all that torch and pandas have made, half a second


if __name__ == "__main__":
    main()
