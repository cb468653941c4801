"""The page of one tuned network, made from the content of its ``report.json``; no script in it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

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


def drawn(lines: Sequence[Content], report: Content) -> str:
    """TA with its interval against OA given up, as SVG in the page's own colours."""
    import vl_convert

    from tunebench.boards.charts import candidates

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
    return str(vl_convert.vegalite_to_svg(candidates().to_dict() | {"datasets": {"rows": rows}}))
