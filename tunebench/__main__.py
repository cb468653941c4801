"""``python -m tunebench``, which is to find the same modules as ``tunebench``."""

import contextlib
import os
import sys

with contextlib.suppress(OSError):  # of a working directory that is gone
    if sys.path[:1] == [os.getcwd()]:  # put there by -m: a random.py beside the user's data is none of ours
        del sys.path[0]

from tunebench.cli import main

main()
