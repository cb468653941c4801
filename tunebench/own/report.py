"""What happened, for a person and for a program: the table, the Markdown page, ``report.json``."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import tabulate

from tunebench.boards.formats import percent
from tunebench.boards.leaderboard import last_line
from tunebench.boards.page import own as page
from tunebench.naming import printable
from tunebench.own.comparison import Comparison, Wish
from tunebench.own.details import of_line
from tunebench.own.files import Written
from tunebench.own.pick import Choice, Line, confusions, hardest, named
from tunebench.results.store import write_text

SCHEMA = 1
HEADERS = ("", "tuner", "TA %", "95 % interval", "TA gain", "OA change", "lost/gained", "certificate")


@dataclass(frozen=True)
class Report:
    """A finished comparison; TA is the recall of the target class, OA the accuracy of all samples, fractions."""

    comparison: Comparison
    lines: Sequence[Line]
    choice: Choice
    note: str = ""
    """What became of the data."""
    command: str = ""
    files: Sequence[Written] = ()
    latency: Mapping[str, float] = field(default_factory=dict)
    """Time for one sample as a multiple of the original's, by tuner, of those that were timed."""

    @property
    def original(self) -> Line:
        """The untuned network's line."""
        return next(line for line in self.lines if line.tuner == "original")

    @property
    def target(self) -> str:
        """The class's name."""
        return printable(self.comparison.names[self.comparison.wish.target])

    @property
    def certificate(self) -> dict[str, Any] | None:
        """The chosen line's, with the confidence that holds whichever tuner was taken."""
        found = self.choice.line.certificate
        return found and found | {"confidence": self.comparison.wish.confidence}

    def as_dict(self) -> dict[str, Any]:
        """The content of ``report.json``."""
        wish, line, before = self.comparison.wish, self.choice.line, self.original
        record = self.comparison.records["original"]
        return {
            "schema": SCHEMA,
            "target": self.target,
            "original": {"ta": before.ta, "oa": before.oa},
            "tuned": {"ta": line.ta, "oa": line.oa},
            "tuner": line.tuner,
            "variant": line.variant,
            "params": line.params,
            "budget": wish.budget,
            "recall": wish.recall,
            "limits": dict(wish.limits),
            "certificate": self.certificate,
            "why": self.choice.why,
            "confusions": confusions(record, wish.target, self.comparison.names),
            "hardest": hardest(self.comparison),
            "samples": {"target": record_total(self), "all": len(self.comparison.task.y_valid)},
            "candidates": [
                {key: None if value != value else value for key, value in asdict(line).items()}
                | of_line(line, self.comparison)
                | {"latency_ratio": self.latency.get(line.tuner)}
                for line in self.lines
            ],
            "latency_ratio": self.latency.get(line.tuner),
            "files": {written.path.name: written.note for written in self.files},
            "data": self.note,
            "command": self.command,
        }

    def write(self, out: Path) -> None:
        """Write ``report.json``, ``report.md`` and ``index.html``."""
        write_text(out / "report.json", json.dumps(self.as_dict(), indent=1, allow_nan=False) + "\n")
        write_text(out / "report.md", as_markdown(self))
        write_text(out / "index.html", page.render(self.as_dict()))


def record_total(report: Report) -> int:
    """Samples of the target among those that the figures are of."""
    return int((report.comparison.task.y_valid == report.comparison.wish.target).sum())


def opening(report: Report) -> str:
    """How good the network is before anything is done, and what the class is taken for."""
    wish, before = report.comparison.wish, report.original
    lines = [
        f"before  recall of {report.target!r} (TA) {before.ta:.1%}, accuracy of all (OA) {before.oa:.1%}, on "
        f"{len(report.comparison.task.y_valid):,} samples, {record_total(report)} of them {report.target!r}"
    ]
    record = report.comparison.records["original"]
    taken = [
        f"{printable(c['class'])} {c['count']} ({c['share']:.0%})"
        for c in confusions(record, wish.target, report.comparison.names)
    ]
    if taken:
        lines.append(f"        taken for {', '.join(taken)}")
    return "\n".join(lines)


def worth_a_look(report: Report) -> str:
    """The samples to look at when nothing helps."""
    lines = [
        f"- {printable(one['path'] or 'row ' + str(one['row']))}: taken for {printable(one['taken_for'])}"
        for one in hardest(report.comparison)
    ]
    return (
        f"Samples of {report.target!r} that the network is most certainly wrong about:\n\n" + "\n".join(lines)
        if lines
        else ""
    )


def table(report: Report, kind: str = "simple") -> str:
    """A row per tuner, as text or Markdown."""
    rows = []
    for line in report.lines:
        mark = "*" if line is report.choice.line else ""
        if line.status != "ok":
            rows.append([mark, line.tuner, line.status, *[""] * 4, printable(last_line(line.reason or ""))[:60]])
            continue
        before = report.original
        rows.append(
            [
                mark,
                named(line),
                f"{100 * line.ta:.1f}",
                f"{100 * line.ta_low:.1f} to {100 * line.ta_high:.1f}",
                f"{100 * (line.ta - before.ta):+.1f}",
                f"{100 * (line.oa - before.oa):+.2f}",
                f"{line.lost}/{line.gained}",
                promise(line, report.comparison.wish),
            ]
        )
    return tabulate.tabulate(rows, headers=HEADERS, tablefmt=kind, disable_numparse=True)


def promise(line: Line, wish: Wish) -> str:
    """A certificate in a few words."""
    if line.certificate is None:
        return "" if line.tuner == "original" else "none"
    bound = percent(line.certificate["bound"])
    return f"TA {bound} at least" if wish.recall is not None else f"OA -{bound} at most"


def closing(report: Report) -> str:
    """What was taken and why, what is promised, and where it lies."""
    text = [f"chosen  {report.choice.why}"]
    if report.certificate is not None:
        text.append(f"promise {page.promised(report.certificate, report.comparison.wish.recall is not None)}")
    text += [f"file    {written.path}: {written.note}" for written in report.files]
    return "\n".join(text)


def as_markdown(report: Report) -> str:
    """The page that is written beside the network."""
    return (
        "\n\n".join(
            [
                f"# {report.target}: {named(report.choice.line)}",
                "TA is the recall of the class, OA the accuracy of all samples. " + report.note + ".",
                "```\n" + opening(report) + "\n```",
                table(report, "github"),
                "```\n" + closing(report) + "\n```",
                worth_a_look(report),
                f"Made by `{report.command}`." if report.command else "",
            ]
        ).strip()
        + "\n"
    )
