"""A verdict for whoever reads it: a terminal, the Markdown summary of a CI job, JUnit XML."""

from __future__ import annotations

import re
from xml.etree import ElementTree

from tabulate import tabulate

from tunebench.boards.formats import escape_markdown
from tunebench.gate.comparison import INCOMPLETE, REGRESSION, Change, Verdict
from tunebench.naming import one_line

HEADERS = ("", "tuner", "on", "class", "seed", "column", "baseline", "now", "change", "limit")


def render(verdict: Verdict) -> str:
    """The verdict for a terminal: what changed, worst first, then what is missing, then one line that sums up."""
    lines = [cells(change) for change in ordered(verdict)]
    parts = [tabulate(lines, HEADERS, disable_numparse=True)] if lines else []
    return "\n".join([*parts, *remarks(verdict), in_a_line(verdict)])


def summary(verdict: Verdict) -> str:
    """The same as Markdown, the line that sums up first."""
    lines = [[escape_markdown(cell) for cell in cells(change)] for change in ordered(verdict)]
    parts = [f"## {escape_markdown(in_a_line(verdict))}"]
    parts += [tabulate(lines, HEADERS, tablefmt="github", disable_numparse=True)] if lines else []
    parts += ["\n".join(f"- {escape_markdown(text)}" for text in remarks(verdict))] if remarks(verdict) else []
    return "\n\n".join(parts) + "\n"


def junit(verdict: Verdict) -> str:
    """The same as JUnit XML: a test case for every row and limit, and for whatever vanished or cannot be compared."""
    suite = ElementTree.Element("testsuite", name="tunebench gate")
    broken: dict[tuple[object, ...], list[Change]] = {}
    for change in verdict.regressions:
        broken.setdefault((change.place, change.limit), []).append(change)
    for place, limit in verdict.checked:
        case = case_of(suite, f"tunebench.{'.'.join(place[:2])}", f"{place[3]} class {place[2]} {limit.column}:{limit}")
        for change in broken.get((place, limit), ()):
            what = zip(HEADERS[4:], cells(change)[4:], strict=True)
            told(case, "failure", ", ".join(f"{name} {cell}" for name, cell in what))
    for kind, texts in (("failure", verdict.lost), ("error", verdict.gaps)):
        for text in texts:
            told(case_of(suite, "tunebench.comparison", text), kind, text)
    suite.set("tests", str(len(suite)))
    for kind in ("failure", "error"):
        suite.set(f"{kind}s", str(len([case for case in suite if case.find(kind) is not None])))
    ElementTree.SubElement(suite, "system-out").text = in_a_line(verdict)
    ElementTree.indent(suite)
    return ElementTree.tostring(suite, "unicode", xml_declaration=True) + "\n"


def case_of(suite: ElementTree.Element, classname: str, name: str) -> ElementTree.Element:
    """A test case of ``suite``."""
    return ElementTree.SubElement(suite, "testcase", classname=legal(classname), name=legal(name), time="0")


def told(case: ElementTree.Element, kind: str, text: str) -> None:
    """Let ``case`` end as a ``failure`` or ``error``."""
    ElementTree.SubElement(case, kind, message=legal(text)).text = legal(text)


def legal(text: str) -> str:
    """``text`` in one line, without what XML does not allow even as an escape."""
    return re.sub("[\ufffe\uffff]", "?", one_line(text))


def ordered(verdict: Verdict) -> list[Change]:
    """What changed, regressions first."""
    return sorted(verdict.changes, key=lambda c: (not c.regressed, c.limit.column, c.place, c.seed or 0))


def cells(change: Change) -> list[str]:
    """A change as a line under `HEADERS`."""
    return [
        "REGRESSED" if change.regressed else "",
        change.place[3],
        " ".join(change.place[:2]),
        change.place[2],
        "median" if change.seed is None else str(change.seed),
        change.limit.column,
        f"{change.before:.6g}",
        f"{change.now:.6g}",
        f"{change.limit.moved(change.before, change.now):+.2f}{change.limit.unit}",
        str(change.limit),
    ]


def remarks(verdict: Verdict) -> list[str]:
    """What vanished, what cannot be compared, and notes."""
    texts = {"REGRESSED": verdict.lost, "cannot compare": verdict.gaps, "note": verdict.notes}
    return [f"{kind}: {text}" for kind, found in texts.items() for text in found]


def in_a_line(verdict: Verdict) -> str:
    """The verdict in one line."""
    word = {0: "passed", REGRESSION: "failed", INCOMPLETE: "not decided"}[verdict.exit_code]
    worse = len(verdict.regressions) + len(verdict.lost)
    figures = f"{len(verdict.changes)} figures changed, {worse} regressed, {len(verdict.gaps)} gaps"
    return f"gate {word}: {verdict.compared} cells compared, {figures}"
