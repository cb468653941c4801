"""Charts of a leaderboard as Vega-Lite, drawn alike by pages and by `tunebench.boards.plots`.

Altair writes them. It was chosen because the script that draws them in a page is a fraction of plotly's, because every
mark of its SVG carries a label for screen readers, and because vl-convert draws the same without a browser.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas

PALETTE = ("#d55e00", "#0080c8", "#009e73", "#cc79a7", "#b8860b", "#8a63d2", "#56b4e9", "#b04040")
"""After Okabe & Ito (2008), darkened or lightened until each is legible on white and on near-black."""
GREY = "#8c8c8c"
INK = "currentColor"
"""The text's colour, light or dark, for a chart that stands in a page."""
OTHERS = "other tuners"
"""What those without a colour of their own are called; no name of a tuner."""
ROOM = 38
"""Pixels that a class of a heat map takes for a figure in every cell and a name that lies flat."""


def named() -> Any:
    """The data, put in by whoever draws."""
    import altair as alt

    return alt.NamedData(name="rows")


def number(field: str, title: str) -> Any:
    """A figure in a tooltip."""
    import altair as alt

    return alt.Tooltip(f"{field}:Q", title=title, format=",.4~g")


def series() -> Any:
    """A colour for every leader, and one grey for the rest; the data says which, see `shades`."""
    import altair as alt

    return alt.Color("series:N", legend=alt.Legend(orient="bottom", columns=3, title=None, labelLimit=130))


def shaded(spec: dict[str, Any], rows: pandas.DataFrame) -> dict[str, Any]:
    """``spec`` with the scale of `series` for ``rows``: leaders by their ``shade``, their place in `PALETTE`."""
    named = rows.drop_duplicates("series").sort_values("shade") if "series" in rows else rows
    spec = copy.deepcopy(spec)
    for part in (spec, *spec.get("layer", ())):
        color = part.get("encoding", {}).get("color", {})
        if color.get("field") == "series":
            shades = [(*PALETTE, GREY)[shade] for shade in named["shade"]]
            color["scale"] = {"domain": named["series"].tolist(), "range": shades}
    return spec


def curves() -> Any:
    """TA gained against OA given up, a line per tuner and a point per OA budget."""
    import altair as alt

    return alt.Chart(named(), mark=alt.MarkDef("line", point={"size": 45}, strokeWidth=2)).encode(
        x=alt.X("oa_loss:Q", title="OA given up on test, points").scale(zero=False),
        y=alt.Y("ta_gain:Q", title="TA gained on test, points"),
        detail="tuner:N",
        order="budget:Q",
        tooltip=[
            "tuner:N",
            number("budget", "OA budget"),
            number("ta_gain", "TA gained"),
            number("oa_loss", "OA given up"),
            number("over_budget", "over budget, % of seeds"),
        ],
        color=series(),
    )


def costs(gained: str = "TA gained on test, points") -> Any:
    """TA gained against what it costs, a point per tuner; the data says which cost.

    The axis reaches a tenth beyond the costs, so that no noise of a percent is drawn as wide as the page.
    """
    import altair as alt

    base = alt.Chart(named())
    points = base.mark_point(size=90, filled=True, opacity=1).encode(
        x=alt.X("cost:Q", title=None).scale(zero=False),
        y=alt.Y("ta_gain:Q", title=gained),
        tooltip=["tuner:N", number("cost", "cost"), number("ta_gain", "TA gained"), number("oa_gain", "OA gained")],
        color=series(),
    )
    ends = base.transform_aggregate(low="min(cost)", high="max(cost)")
    ends = ends.transform_calculate(low="0.9 * datum.low", high="1.1 * datum.high")
    return points + ends.mark_rule(opacity=0, aria=False).encode(x="low:Q", x2="high:Q")


def searches() -> Any:
    """Target samples gained on validation by the best candidate so far, against the number of trials."""
    import altair as alt

    return alt.Chart(named(), mark=alt.MarkDef("line", interpolate="step-after", strokeWidth=2)).encode(
        x=alt.X("trial:Q", title="trials", axis=alt.Axis(tickMinStep=1)),
        y=alt.Y("gained:Q", title="target samples gained on validation"),
        detail="tuner:N",
        tooltip=["tuner:N", "trial:Q", number("gained", "samples gained")],
        color=series(),
    )


def classes() -> Any:
    """Change of every class's recall, a line per tuner."""
    return heat_map("change of recall, points", "+.1f", range=["#d98032", "#f2f0eb", "#5aa0d0"], domainMid=0)


def missed() -> Any:
    """What target samples are taken for, a line per tuner."""
    return heat_map("% of target samples", ".1f", range=["#f2f0eb", "#d98032"])


def heat_map(title: str, form: str, **scale: Any) -> Any:
    """``value`` by tuner and class, as coloured cells; figures stand in them where there is room."""
    import altair as alt

    room = f"width >= {ROOM} * domain('x').length"
    axis = alt.Axis(
        labelAngle=alt.ExprRef(f"{room} ? 0 : -90"),
        labelAlign=alt.ExprRef(f"{room} ? 'center' : 'right'"),
        labelBaseline=alt.ExprRef(f"{room} ? 'top' : 'middle'"),
    )
    base = alt.Chart(named()).encode(
        x=alt.X("class:O", title="class", axis=axis),
        y=alt.Y("tuner:N", title=None, sort=None),
        tooltip=["tuner:N", "class:O", number("value", title)],
    )
    legend = alt.Legend(orient="bottom", title=title, gradientLength=200)
    cells = base.mark_rect().encode(color=alt.Color("value:Q", scale=alt.Scale(**scale), legend=legend))
    figure = alt.condition(room, alt.Text("value:Q", format=form), alt.value(""))
    return cells + base.mark_text(fontSize=10, color="black").encode(text=figure)


def candidates() -> Any:
    """TA with its interval against OA given up, a point per tuner; the chosen and the original named."""
    import altair as alt

    told = [number("ta", "TA, %"), number("low", "95 % interval from"), number("high", "to")]
    base = alt.Chart(named()).encode(
        x=alt.X("oa_loss:Q", title="OA given up, points").scale(zero=False, padding=20),
        color=series(),
        tooltip=["tuner:N", *told, number("ta_gain", "TA gained"), number("oa_loss", "OA given up")],
    )
    whiskers = base.mark_rule().encode(y=alt.Y("low:Q", title="TA, %").scale(zero=False), y2="high:Q")
    size = alt.condition("datum.chosen", alt.value(220), alt.value(60))
    points = base.mark_point(filled=True, opacity=1).encode(y="ta:Q", size=size)
    label = base.transform_filter("datum.chosen || datum.tuner == 'original'").mark_text(align="left", dx=10, dy=-8)
    return whiskers + points + label.encode(y="ta:Q", text="tuner:N", color=alt.value(INK))


CHARTS: dict[str, tuple[str, Callable[[], Any]]] = {
    "curves": ("What it costs in accuracy: TA gained against OA given up", curves),
    "costs": ("What it costs otherwise", costs),
    "classes": ("Who pays: change of every class's recall", classes),
    "missed": ("What target samples are taken for", missed),
    "searches": ("How the searches went", searches),
}
"""Every chart with its title."""
HEAT_MAPS = ("classes", "missed")
"""Charts that grow with the number of tuners."""
