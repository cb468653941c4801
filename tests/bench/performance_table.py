"""Write the table of docs/performance.md from a file of pytest-benchmark.

Usage: python tests/bench/performance_table.py BENCHMARK.json; `tox -e bench` runs it.
"""

import json
import sys
from pathlib import Path

from tabulate import tabulate

PAGE = Path(__file__).parents[2] / "docs" / "performance.md"
START, END = "<!-- table -->\n", "<!-- end -->"
FIGURES = ("ratio", "target", "limit")


def main() -> None:
    """Put the ratios of the run between the marks of the page; rows that this run did not measure stay."""
    notes = [entry["extra_info"] for entry in json.loads(Path(sys.argv[1]).read_text())["benchmarks"]]
    before, rest = PAGE.read_text("utf-8").split(START)
    old = [[cell.strip() for cell in line.split("|")[1:-1]] for line in rest.split(END)[0].splitlines()[2:]]
    rows = {(what, against): figures for what, against, *figures in old}
    rows |= {(n["what"], n["against"]): [shown(n[name]) for name in FIGURES] for n in notes if "ratio" in n}
    lines = [[*place, *figures] for place, figures in rows.items()]
    table = tabulate(lines, ["what", "against", *FIGURES], tablefmt="github", disable_numparse=True)
    PAGE.write_text(before + START + table + "\n" + END + rest.split(END)[1], "utf-8")
    print(table)


def shown(ratio: float | None) -> str:
    """A ratio for reading; tiny ones as one over."""
    if ratio is None:
        return ""
    return f"{ratio:.2f}" if ratio >= 0.1 or not ratio else f"1/{1 / ratio:.0f}"


if __name__ == "__main__":
    main()
