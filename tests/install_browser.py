"""Installs Debian's Chromium for tests of pages where it is missing and we may; says so where we may not."""

import os
import shutil
import subprocess
import sys


def main() -> int:
    """0 also where there will be no browser: the tests then skip, unless TUNEBENCH_NEEDS_BROWSER is set."""
    if shutil.which("chromium"):
        return 0
    if shutil.which("apt-get") is None or os.geteuid() != 0:
        print("no Chromium here: tests of pages will be skipped; install it with: apt-get install chromium")
        return 0
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for command in (["apt-get", "update", "-qq"], ["apt-get", "install", "-y", "-qq", "chromium"]):
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        if done.returncode:
            print(f"{' '.join(command)} failed: {done.stderr.strip()[-300:]}")
            return 0
    return 0


if __name__ == "__main__":
    sys.exit(main())
