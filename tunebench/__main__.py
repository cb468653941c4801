"""``python -m tunebench``, which is to find the same modules as ``tunebench``."""

import os
import sys

if sys.path[:1] == [os.getcwd()]:  # put there by -m: a random.py beside the user's data is none of ours
    del sys.path[0]

from tunebench.cli import main

main()
