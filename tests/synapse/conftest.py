"""Makes `digits`, the small real task beside this folder, importable here."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1]))
