"""Progress bars of the commands that run cells."""

from __future__ import annotations

import sys
from typing import Any

from tqdm import tqdm

from tunebench.naming import one_line


class Bars:
    """Draws a run's stages as progress bars on stderr."""

    def __init__(self, quiet: bool) -> None:
        self.quiet = quiet
        self.interactive = not quiet and sys.stderr.isatty()
        self.bar: Any = None

    def stage(self, name: str, total: int) -> None:
        """See `tunebench.grid.observer.Observer`."""
        self.end()
        self.bar = tqdm(total=total, desc=name, unit="", disable=self.quiet, mininterval=0.2, dynamic_ncols=True)

    def step(self, note: str) -> None:
        """See `tunebench.grid.observer.Observer`."""
        if self.interactive:
            self.bar.set_postfix_str(one_line(note)[-40:], refresh=False)
        self.bar.update()

    def warn(self, text: str) -> None:
        """See `tunebench.grid.observer.Observer`."""
        tqdm.write(f"tunebench: warning: {one_line(text)}", file=sys.stderr)

    def explain(self, text: str) -> None:
        """See `tunebench.grid.observer.Observer`."""
        tqdm.write(one_line(text), file=sys.stdout)

    def end(self) -> None:
        """Leave the last bar on the screen."""
        if self.bar is not None:
            self.bar.close()
