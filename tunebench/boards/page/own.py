"""The page of one tuned network, made from the content of its ``report.json``."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import pandas

from tunebench.boards import charts
from tunebench.boards.formats import percent
from tunebench.boards.page import script
from tunebench.boards.page.table import Cell
from tunebench.boards.page.templates import rendered
from tunebench.glossary import column, entries, lookup

Content = Mapping[str, Any]
"""The content of ``report.json``, or one of its candidates; TA and OA are fractions."""


class Heading(NamedTuple):
    """What stands above a column, what that means, and how the column stands."""

    name: str
    text: str
    style: str = "number"


COSTS = ("latency_ratio", "params", "flops", "bytes")
"""What a gain is held against; columns of a leaderboard."""
HEADINGS = {
    "tuner": Heading("tuner", "Name of the tuner, and variant.", "name"),
    "status": Heading("status", column("status").text, "name"),
    "ta": Heading("TA %", f"{entries()['terms']['TA'].text} Below it the 95 % interval.", "number best-high"),
    "ta_gain": Heading("TA gain", "Percentage points of TA gained over the original.", "number best-high"),
    "oa_gain": Heading("OA gain", "Percentage points of OA gained over the original.", "number best-high"),
    "lost": Heading("lost / gained", lookup("lost / gained")[0].text),
    "certificate": Heading("certificate", entries()["terms"]["certificate"].text),
    **{name: Heading(column(name).heading, column(name).text, "more number") for name in COSTS},
    "settings": Heading("settings", lookup("settings")[0].text, "more name"),
}
"""The table's columns, in order; those in ``more`` stand behind a switch."""
CHARTS: dict[str, tuple[str, Callable[[], Any]]] = {
    "candidates": ("Every tuner's best: the further up and the further left, the better", charts.candidates),
    "costs": ("What it costs otherwise", lambda: charts.costs("TA gained, points")),
    "classes": ("Change of every class's recall", charts.classes),
    "searches": ("The best so far, by trial", charts.searches),
}
"""Every chart with its title."""


def render(report: Content) -> str:
    """The page as HTML; it asks for nothing from outside, and everything from files is escaped."""
    good = [line for line in report["candidates"] if line["status"] == "ok"]
    size = report.get("samples")
    data = tables(good, report)
    columns, rows = table_of(report)
    return rendered(
        "own.html",
        target=report["target"],
        chosen=named(report),
        why=report["why"],
        before=shares(report["original"]),
        after=shares(report["tuned"]),
        samples=f", on {size['all']:,} samples, {size['target']:,} of them {report['target']}" if size else "",
        promise=promise(report),
        charts=[(name, CHARTS[name][0]) for name in data],
        columns=[{"heading": c.name, "text": c.text, "style": c.style} for c in columns],
        rows=rows,
        legend=[(c.name, c.text) for c in columns if c.name != "tuner"],
        costs=costs(good, report),
        taken=[f"{c['class']}: {c['count']} ({100 * c['share']:.0f} %)" for c in report.get("confusions", [])],
        origin=[*report.get("files", {}).items(), ("data", report.get("data") or "as given")],
        command=report.get("command"),
        **script.content({name: CHARTS[name][1]() for name in data}, data, choices(data)),
    )


def choices(data: Mapping[str, pandas.DataFrame]) -> dict[str, script.Choice]:
    """The costs that are known."""
    known = set(data["costs"]["kind"]) if "costs" in data else set()
    kinds = [column(kind) for kind in COSTS if kind in known]
    return {"kind": {kind.name: (kind.heading, kind.text) for kind in kinds}}


def named(line: Content) -> str:
    """A tuner and its variant."""
    return line["tuner"] if line["variant"] == "plain" else f"{line['tuner']}, {line['variant']}"


def shares(figures: Content) -> dict[str, str]:
    """TA and OA in per cent."""
    return {name: column(name).shown(figures[name]) for name in ("ta", "oa")}


def promise(report: Content) -> dict[str, str]:
    """What holds on new data, or that nothing is known to."""
    certificate = report["certificate"]
    if certificate is None:
        text = "The figures are of the samples that chose; nothing is certified, and new data may break the budget."
        return {"heading": "No promise.", "text": text}
    return {"heading": "Promise.", "text": promised(certificate, report.get("recall") is not None) + "."}


def promised(certificate: Content, floor: bool) -> str:
    """What a certificate says, of TA under a ``floor``, else of OA, and which samples say so."""
    bound, samples = percent(certificate["bound"]), f"{certificate['samples']:,} samples"
    if floor:  # its samples are those of the class alone; ``lost`` and ``gained`` are of all
        kept, counts = f"TA is at least {bound} %", f"{certificate['hits']} are right"
        samples += " of the class"
    else:
        kept = f"OA falls by at most {bound} points"
        counts = f"{certificate['lost']} are lost, {certificate['gained']} gained"
    return (
        f"{kept} on new data like these, with confidence {percent(certificate['confidence'])} %, whichever tuner was "
        f"taken; on {samples} that no choice has seen {counts}"
    )


def table_of(report: Content) -> tuple[list[Heading], list[dict[str, Any]]]:
    """The columns that any candidate has a value in, and the rows; a status only where one is not ok."""
    found = [cells_of(line, report) for line in report["candidates"]]
    used = [name for name in HEADINGS if any(name in cells for cells in found)]
    rows = [
        {
            "block": "",
            "tuner": cells["tuner"][1],
            "cells": [Cell(HEADINGS[c].style, *cells.get(c, ("", "")))._replace(head=c == "tuner") for c in used],
        }
        for cells in found
    ]
    return [HEADINGS[name] for name in used], rows


def cells_of(line: Content, report: Content) -> dict[str, tuple[Any, ...]]:
    """What a candidate has for each column: by what it is sorted, what is shown, what stands below that."""
    if line["status"] != "ok":
        return {
            "tuner": (line["tuner"], line["tuner"]),
            "status": (line["status"], line["status"], line.get("reason") or ""),
        }
    before, settings = report["original"], line["params"] or {}
    figures = {"ta": line["ta"], "ta_gain": line["ta"] - before["ta"], "oa_gain": line["oa"] - before["oa"]}
    figures |= costs_of(line)
    shown = {name: (value, column(name).shown(value)) for name, value in figures.items()}
    told = (
        {"settings": (text, text)} if (text := ", ".join(f"{key} {value}" for key, value in settings.items())) else {}
    )
    mark = "chosen" if is_chosen(line, report) else ""
    return {
        "tuner": (named(line), named(line), mark),
        **shown,
        "ta": (*shown["ta"], f"{100 * line['ta_low']:.2f} to {100 * line['ta_high']:.2f}"),
        "lost": (line["lost"], f"{line['lost']} / {line['gained']}"),
        "certificate": certified(line, report),
        **told,
    }


def certified(line: Content, report: Content) -> tuple[Any, str]:
    """A certificate in a few words, sorted by its bound."""
    if not line["certificate"]:
        return "", "none"
    bound, floor = line["certificate"]["bound"], report.get("recall") is not None
    return bound, f"TA {percent(bound)} % at least" if floor else f"OA falls by {percent(bound)} at most"


def is_chosen(line: Content, report: Content) -> bool:
    """Whether a candidate is the one that was taken."""
    return (line["tuner"], line["variant"]) == (report["tuner"], report["variant"])


def costs_of(line: Content) -> dict[str, float]:
    """The costs of a candidate that are known."""
    known = {**line.get("cost", {}), "latency_ratio": line.get("latency_ratio")}
    return {name: known[name] for name in COSTS if known.get(name) is not None}


def costs(lines: Sequence[Content], report: Content) -> str:
    """Size and time of the chosen network beside the original's, in a sentence; empty where they are not known."""
    chosen, before = taken(lines, report), next((line for line in lines if line["tuner"] == "original"), None)
    if not chosen or not before or "cost" not in chosen or "cost" not in before:
        return ""
    parts = [
        f"{chosen['cost'][name]:,.0f} {noun} (before {before['cost'][name]:,.0f})"
        for name, noun in (("params", "parameters"), ("flops", "operations for a sample"), ("bytes", "bytes"))
    ]
    if report.get("latency_ratio") is not None:
        parts.append(f"{column('latency_ratio').shown(report['latency_ratio'])} the original's time for a sample")
    return ", ".join(parts)


def taken(lines: Sequence[Content], report: Content) -> Content | None:
    """The candidate that was chosen."""
    return next((line for line in lines if is_chosen(line, report)), None)


def tables(lines: Sequence[Content], report: Content) -> dict[str, pandas.DataFrame]:
    """The rows of every chart that there are rows for; gains in points, leaders in a colour of their own."""
    found = {
        "candidates": [placed(line, report) for line in lines],
        "costs": [
            gains(line, report) | {"kind": kind, "cost": cost}
            for line in lines
            for kind, cost in costs_of(line).items()
        ],
        "classes": [
            {"tuner": named(line), "class": name, "value": 100 * change}
            for line in lines
            if line["tuner"] != "original"
            for name, change in line.get("classes", {}).items()
        ],
        "searches": [
            gains(line, report) | {"trial": trial, "gained": gained}
            for line in lines
            if len(line.get("search", ())) > 2
            for trial, gained in enumerate(line["search"])
        ],
    }
    return {name: coloured(pandas.DataFrame(rows)) for name, rows in found.items() if rows}


def gains(line: Content, report: Content) -> dict[str, Any]:
    """A candidate's name, and what it gained over the original, in points."""
    before = report["original"]
    return {
        "tuner": named(line),
        "ta_gain": 100 * (line["ta"] - before["ta"]),
        "oa_gain": 100 * (line["oa"] - before["oa"]),
    }


def placed(line: Content, report: Content) -> dict[str, Any]:
    """TA with its interval, in per cent, and OA given up."""
    found = gains(line, report)
    shares = {"ta": 100 * line["ta"], "low": 100 * line["ta_low"], "high": 100 * line["ta_high"]}
    return found | shares | {"oa_loss": -found["oa_gain"], "chosen": is_chosen(line, report)}


def coloured(rows: pandas.DataFrame) -> pandas.DataFrame:
    """``rows`` with a shade for each of those with the highest gains; the rest shares one."""
    if "ta_gain" not in rows:
        return rows
    most = len(charts.PALETTE)
    best = rows.drop_duplicates("tuner").sort_values("ta_gain", ascending=False, kind="stable")["tuner"]
    shade = rows["tuner"].map({tuner: min(place, most) for place, tuner in enumerate(best)})
    return rows.assign(shade=shade, series=rows["tuner"].where(shade < most, charts.OTHERS)).round(4)
