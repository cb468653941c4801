"""README.md of ``tunebench paper``: every figure in it comes from `published.toml` or from the runs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tabulate import tabulate

from tunebench.paper.choices import table3, table6
from tunebench.paper.compare import COLUMNS, Line, Table, difference, show, show_ours
from tunebench.paper.experiments import BUDGET, Runs
from tunebench.paper.literal import EPSILON
from tunebench.paper.published import dataset_names, info_of, of_dataset
from tunebench.paper.tables import figure6, line, table4, table5, table8, table9, table10, table11, table12
from tunebench.selection.search import PAPER_SCALE

INTRO = """\
# The published tables beside ours

Made by `tunebench paper`; no figure in it was written by hand. Source of the published figures: Xu & Wang,
"Fine-tuning method for lightweight neural network classification", J. Nanjing Univ. of Aeronautics & Astronautics
58(1), 2026, 223-234.

How to read the columns:

- **published**: as printed, one run; gains and differences are computed from printed figures.
- **paper protocol (selected on test)**: `protocol: paper (selected on test)`. The originals see all of the training
  split, n, scale and the other hyperparameters are searched on the test split itself. Every figure is optimistic.
  The search of the scale ends at {largest:g}, beyond the paper's largest (12).
- **the paper's n and scale**: the same originals with the n and scale that the paper chose, nothing searched.
- **the same, literal epsilons**: n and scale of the paper, and its evaluation to the letter: a small constant
  ({epsilon:g} here, the paper gives none) is added to every activation, so that neurons count that are silent on all
  samples that are right.
- **held out**: the honest counterpart. A part of the training split is held out for selection, the test split is
  scored once. The scale is solved for without a limit, so a gain can be larger than under the paper protocol, whose
  range of scales leaves part of the OA budget unspent.

Ours are means over seeds with their 95 % interval over seeds (t distribution), all on the same test images. TA and OA
are in per cent, gains and differences in percentage points. OA is micro. Empty: not printed, or not measured.
"""
UNKNOWN = "Tables 1, 2 and 7 describe data sets and networks and hold nothing to compare."


@dataclass(frozen=True)
class Report:
    """All that the README shows."""

    runs: Runs
    sweeps: Mapping[str, Any]
    absent: Mapping[str, str]
    """Data sets that were not run, with the reason."""
    figures: Mapping[str, str]
    """Image file of every figure that was drawn, by its name."""
    machine: Mapping[str, Any]
    trials: int


def readme(report: Report) -> str:
    """The whole page."""
    intro = INTRO.format(largest=PAPER_SCALE.high, epsilon=EPSILON)
    return "\n".join([intro, *overview(report), *body(report), *drawn(report), *origin(report)]).rstrip() + "\n"


def overview(report: Report) -> Iterator[str]:
    """What ran, what did not, and the headline."""
    seeds: dict[str, int] = {}
    for (_, place), runs in report.runs.items():
        seeds[place[0]] = max(seeds.get(place[0], 0), len(runs))
    titles = {name: info_of(name)["title"] for name in dataset_names()}
    ran = ", ".join(f"{titles[name]} ({count} seed{'s' * (count > 1)})" for name, count in seeds.items())
    yield f"Ran: {ran}; {report.trials} trials per search, OA budget {BUDGET:g} points."
    for name, reason in report.absent.items():
        yield f"{titles[name]}: not run here ({reason})."
    yield f"{UNKNOWN}\n"
    rows = []
    for name in titles:
        figures, place = of_dataset("table4", name), (name, "model1", str(info_of(name)["target"]), "smvt-sj")
        if name in seeds:
            for metric in ("ta", "oa"):
                gain = figures["smvt-sj"][metric] - figures["original"][metric]
                found = line(report.runs, place, f"{metric}_gain", gain)
                rows.append(Line(f"{titles[name]}, {found.label}", found.kind, found.published, found.ours))
    if rows:
        yield "What SMVT-SJ gains, in short:\n"
        yield grid(rows)


def body(report: Report) -> Iterator[str]:
    """One section per table."""
    for table in all_tables(report.runs, report.sweeps["ranking"]):
        here = any(len(values) for row in table.lines for values in row.ours.values())
        yield f"## {table.name}\n\n{table.title}{'' if here else ': not run here'}\n"
        yield grid(table.lines)
        yield from (f"{note}\n" for note in table.notes)
        found = [text for row in table.lines if (text := difference(row))]
        if found:
            yield "Beyond the interval of the paper protocol:\n"
            yield "\n".join(f"- {text}" for text in found) + "\n"
        if table.name in report.figures:
            yield picture(table.name, report.figures[table.name])


def all_tables(runs: Runs, ranking: Mapping[str, Sequence[Any]]) -> list[Table]:
    """Every published table, in the paper's order."""
    first = [table3(runs), *(table4(runs, name) for name in dataset_names()), table5(runs), table6(ranking)]
    return first + [make(runs) for make in (table8, table9, table10, table11, table12, figure6)]


def grid(rows: Sequence[Line]) -> str:
    """Rows as a Markdown table; columns of ours that no row has are left out."""
    used = [column for column in COLUMNS if any(column in row.ours and len(row.ours[column]) for row in rows)]
    headers = ["", "published", *(COLUMNS[column] for column in used)]
    cells = []
    for row in rows:
        ours = [show_ours(row.ours.get(column, ()), row.kind) for column in used]
        cells.append([row.label, show(row.published, row.kind), *ours])
    align = ["left", *["right"] * (len(headers) - 1)]
    return tabulate(cells, headers, tablefmt="github", disable_numparse=True, colalign=align) + "\n"


CAPTIONS: Mapping[str, str] = {
    "Figure 3": "TA and OA against the number n of synapses, at the paper's scale; thin lines are single seeds. The "
    "published curves are not in our record, only the point that the paper chose (cross).",
    "Figure 4": "MNIST, TA and OA against the scale, at the paper's n = 7, exact; thin lines are single seeds. The "
    "published curves are not in our record, only the point that the paper chose (cross).",
    "Figure 5": "MNIST, model 1, seed 0: test accuracy of every class while the original is trained again. For "
    "reading only, nothing is chosen by it. The published curves are not in our record.",
}


def drawn(report: Report) -> Iterator[str]:
    """The figures that are no table."""
    for name, caption in CAPTIONS.items():
        if name in report.figures:
            yield f"## {name}\n\n{caption}\n\n{picture(name, report.figures[name])}"
        else:
            yield f"## {name}\n\nNot run here: it needs a data set that was not run.\n"
    trace = report.sweeps["figure5"]
    if trace and "Figure 5" in report.figures:
        same = "the same as" if trace["same"] else "NOT the same as"
        yield f"The network at the end of figure 5 is, bit by bit, {same} the cached original.\n"


def picture(name: str, file: str) -> str:
    """A Markdown image."""
    return f"![{name}]({file})\n"


def origin(report: Report) -> Iterator[str]:
    """Where the figures were made."""
    yield "## Origin\n"
    yield "\n".join(f"- {name}: {value}" for name, value in report.machine.items())
