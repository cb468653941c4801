"""From a request to the files: run, analyse, draw, write."""

from __future__ import annotations

import json
import platform
import re
from collections import Counter
from pathlib import Path
from typing import Any

from tunebench.grid.observer import Observer
from tunebench.grid.provenance import PACKAGES, cpu_name
from tunebench.paper import analysis, experiments, figures
from tunebench.paper.experiments import Request, Runs
from tunebench.paper.published import published
from tunebench.paper.render import Report, readme
from tunebench.plugins import version_of
from tunebench.results.folder import claim, refuse_links
from tunebench.results.store import write_text

SCHEMA = 1
MARKS = ("runs", "results.json")
"""What tells that the paper's tables were made in a folder."""
HIDDEN = re.compile(r"\..*")


def make(request: Request, observer: Observer) -> tuple[Path, Counter[str]]:
    """Run or resume what the tables need and write README.md, results.json and the figures into ``request.out``.

    Returns the README's path and the number of cells of each status.
    """
    claim(request.out, MARKS, beside=HIDDEN)
    refuse_links(request.out, (*MARKS, "README.md", "figures"))
    figures.require_matplotlib()
    here, absent = experiments.split_datasets(request)
    counts = experiments.run_parts(request, here, observer)
    runs = experiments.collect(request, here, observer)
    fixed, sweeps = analysis.analyse(request, here, observer)
    runs |= fixed
    drawn = figures.draw(runs, sweeps, request.out)
    report = Report(runs, sweeps, absent, drawn, machine(), request.trials)
    write_text(request.out / "README.md", readme(report))
    write_text(request.out / "results.json", results(report))
    return request.out / "README.md", counts


def machine() -> dict[str, Any]:
    """Versions and processor."""
    return {"processor": cpu_name(), "python": platform.python_version()} | {
        name: version_of(name) for name in PACKAGES
    }


def results(report: Report) -> str:
    """Everything behind the README as JSON."""
    content = {
        "schema": SCHEMA,
        "protocols": {"paper": "selected on test", "fixed": "the paper's n and scale"}
        | {"literal": "the same, literal epsilons", "holdout": "held out"},
        "runs": by_name(report.runs),
        "sweeps": report.sweeps,
        "absent": report.absent,
        "machine": report.machine,
        "trials": report.trials,
        "published": published(),
    }
    return json.dumps(content, allow_nan=False, sort_keys=True) + "\n"


def by_name(runs: Runs) -> dict[str, Any]:
    """Runs under ``column/dataset/model/target/tuner``."""
    return {"/".join((column, *place)): found for (column, place), found in sorted(runs.items())}
