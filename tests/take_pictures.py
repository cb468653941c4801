"""Makes the pictures of README, docs and leaderboards: curves as SVG, the MNIST page as PNG. ``tox -e pictures``."""

from __future__ import annotations

import tempfile
from pathlib import Path

import vl_convert
from browser import Visit, chromium

from tunebench.boards import chart_data, leaderboard, page, plots

ROOT = Path(__file__).parents[1]
BOARDS = ("mnist-converged", "fashion-mnist-converged", "mnist", "fashion-mnist")
SHOTS = {
    "page-desk": {"viewport": {"width": 1100, "height": 1000}},
    "page-dark": {"viewport": {"width": 1100, "height": 1000}, "color_scheme": "dark"},
    "page-phone": {"viewport": {"width": 390, "height": 844}},
}


def curves(name: str) -> dict[str, str]:
    """The trade-off curves of a published board as SVG, of all its blocks together where there are several."""
    board = leaderboard.build(ROOT / "leaderboards" / name)
    table = chart_data.tables(board)["curves"]
    whole = table[table["block"] == chart_data.blocks_of(board)[0]]
    return {title: vl_convert.vegalite_to_svg(spec) + "\n" for title, spec in plots.specifications({"curves": whole})}


def draw_curves(name: str) -> None:
    """Write them beside the board's tables."""
    folder = ROOT / "leaderboards" / name / "plots"
    folder.mkdir(exist_ok=True)
    for title, svg in curves(name).items():
        (folder / f"{title}.svg").write_text(svg, encoding="utf-8")


def take_shots(folder: Path) -> None:
    """The top of the MNIST page on a desk, in the dark and on a phone."""
    folder.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch, chromium() as browser:
        path = Path(scratch) / "page.html"
        path.write_text(page.render(leaderboard.build(ROOT / "leaderboards" / "mnist-converged")), encoding="utf-8")
        for name, options in SHOTS.items():
            visit = Visit(browser, path, **options)
            visit.drawn("curves")
            visit.page.evaluate("scrollTo(0, 0)")
            visit.page.screenshot(path=folder / f"{name}.png")
            visit.context.close()


if __name__ == "__main__":
    for board_name in BOARDS:
        draw_curves(board_name)
    take_shots(ROOT / "docs" / "pictures")
