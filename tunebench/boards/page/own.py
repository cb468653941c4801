"""The page of one tuned network, made from the content of its ``report.json``; no script in it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tunebench.boards import charts
from tunebench.boards.page.templates import rendered
from tunebench.glossary import column, entries

Content = Mapping[str, Any]
"""The content of ``report.json``, or one of its candidates; TA and OA are fractions."""
HEADINGS = (
    ("tuner", "Name of the tuner, and variant."),
    ("TA %", entries()["terms"]["TA"].text),
    ("95 % interval", entries()["terms"]["interval"].text),
    ("TA gain", "Percentage points of TA gained over the original, on the samples that were given."),
    ("OA gain", column("oa_gain").text),
    ("lost / gained", "Samples that the original got right and the tuned network does not, and the other way round."),
    ("certificate", entries()["terms"]["certificate"].text),
)


def render(report: Content) -> str:
    """The page as HTML; it asks for nothing from outside, and everything from files is escaped."""
    good = [line for line in report["candidates"] if line["status"] == "ok"]
    size = report.get("samples")
    return rendered(
        "own.html",
        target=report["target"],
        chosen=named(report),
        why=report["why"],
        before=percent(report["original"]),
        after=percent(report["tuned"]),
        samples=f", on {size['all']:,} samples, {size['target']:,} of them {report['target']}" if size else "",
        promise=promise(report),
        chart=drawn(good, report) if good else "",
        pays=who_pays(good, report),
        searched=searched(good, report),
        costs=costs(good, report),
        headings=HEADINGS,
        rows=[line_of(line, report) for line in report["candidates"]],
        taken=[f"{c['class']}: {c['count']} ({100 * c['share']:.0f} %)" for c in report.get("confusions", [])],
        origin=[*report.get("files", {}).items(), ("data", report.get("data") or "as given")],
        command=report.get("command"),
    )


def named(line: Content) -> str:
    """A tuner and its variant."""
    return line["tuner"] if line["variant"] == "plain" else f"{line['tuner']}, {line['variant']}"


def percent(figures: Content) -> dict[str, str]:
    """TA and OA in per cent."""
    return {name: column(name).shown(figures[name]) for name in ("ta", "oa")}


def promise(report: Content) -> dict[str, str]:
    """What holds on new data, or that nothing is known to."""
    certificate = report["certificate"]
    if certificate is None:
        text = "The figures are of the samples that chose; nothing is certified, and new data may break the budget."
        return {"heading": "No promise.", "text": text}
    bound = 100 * certificate["bound"]
    kept = (
        f"OA falls by at most {bound:.2f} points" if report.get("recall") is None else f"TA is at least {bound:.1f} %"
    )
    return {
        "heading": "Promise.",
        "text": f"On new data like these {kept}, with confidence "
        f"{100 * certificate['confidence']:.0f} %: of {certificate['samples']:,} samples {certificate['lost']} were "
        f"lost and {certificate['gained']} gained.",
    }


def line_of(line: Content, report: Content) -> list[str]:
    """A candidate's cells; one that failed shows why in the last."""
    if line["status"] != "ok":
        return [line["tuner"], line["status"], "", "", "", "", line.get("reason") or ""]
    bound = line["certificate"]["bound"] if line["certificate"] else None
    return [
        named(line),
        column("ta").shown(line["ta"]),
        f"{100 * line['ta_low']:.2f} to {100 * line['ta_high']:.2f}",
        column("ta_gain").shown(line["ta"] - report["original"]["ta"]),
        column("oa_gain").shown(line["oa"] - report["original"]["oa"]),
        f"{line['lost']} / {line['gained']}",
        "none" if bound is None else f"OA falls by {100 * bound:.2f} at most",
    ]


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
    chosen = (report["tuner"], report["variant"])
    return next((line for line in lines if (line["tuner"], line["variant"]) == chosen), None)


def who_pays(lines: Sequence[Content], report: Content) -> str:
    """Change of every class's recall, a line per candidate but the original, as SVG; empty where it is not known."""
    rows = [
        {"tuner": named(line), "class": name, "value": 100 * change}
        for line in lines
        if line["tuner"] != "original"
        for name, change in line.get("classes", {}).items()
    ]
    return svg(charts.classes(), rows)


def searched(lines: Sequence[Content], report: Content) -> str:
    """What the best so far had gained after every trial, a line per tuner that searches, as SVG."""
    found = [line for line in lines if len(line.get("search", ())) > 2]
    leading = sorted(found, key=lambda line: -line["search"][-1])[: len(charts.PALETTE)]
    rows = [
        {
            "tuner": line["tuner"],
            "series": line["tuner"] if line in leading else charts.OTHERS,
            "leader": line in leading,
        }
        | {"trial": trial, "gained": gained}
        for line in found
        for trial, gained in enumerate(line["search"])
    ]
    return svg(charts.searches().properties(height=260), rows)


def svg(chart: Any, rows: Sequence[Content]) -> str:
    """A chart in the page's own colours; empty without rows."""
    import vl_convert

    drawn = charts.in_page(chart).to_dict() | {"datasets": {"rows": list(rows)}}
    return str(vl_convert.vegalite_to_svg(drawn)) if rows else ""


def drawn(lines: Sequence[Content], report: Content) -> str:
    """TA with its interval against OA given up, as SVG in the page's own colours."""
    rows = [
        {
            "tuner": named(line),
            "ta": 100 * line["ta"],
            "low": 100 * line["ta_low"],
            "high": 100 * line["ta_high"],
            "oa_loss": 100 * (report["original"]["oa"] - line["oa"]),
            "chosen": (line["tuner"], line["variant"]) == (report["tuner"], report["variant"]),
        }
        for line in lines
    ]
    return svg(charts.candidates(), rows)
