"""A whole cell of a tuner, as a run computes it: searched, stored, and tuned again for the latency pass."""

from __future__ import annotations

import json

from tunebench.datasets import Samples
from tunebench.errors import InvalidOutput
from tunebench.grid.evaluation import check_output, record_of, result_of
from tunebench.grid.latency import tuned_again
from tunebench.grid.scoring import Record
from tunebench.networks.originals import OriginalKey
from tunebench.networks.recipes import Recipe
from tunebench.results.cells import Cell, Job, cell_inputs
from tunebench.selection.selector import SearchOptions
from tunebench.testing.observe import undone
from tunebench.testing.returned import told
from tunebench.testing.subject import Blocked, CheckFailed, Subject

OPTIONS = SearchOptions(trials=6, budget=100.0)
"""Any loss is allowed, so that a tuned network is chosen where there is a better one."""


def check_cell(subject: Subject) -> None:
    """A whole search can be stored, and the chosen parameters give the same network again."""
    if subject.failed:
        raise Blocked(f"see {subject.failed[0]}")
    task = subject.task()
    test = Samples(task.x_valid, task.y_valid)
    try:
        with undone(task.seed):
            result = result_of(task, subject.tuner, OPTIONS, lambda: test)
    except Exception as exc:
        raise CheckFailed(f"a search of {OPTIONS.trials} trials raised {told(exc)}; mend it") from exc
    if result["status"] != "ok":
        raise Blocked("see output")
    record = stored(subject.tuner.name, task.targets, result)
    with undone(task.seed):
        again = tuned_again(subject.task(), subject.tuner, record, OPTIONS.budget)
    if again is None:
        raise CheckFailed(
            "tuned again with the chosen parameters, as for the latency pass, the network gives other logits; let all "
            "that tune() depends on be in params, prepared and task"
        )


def stored(tuner: str, targets: tuple[int, ...], result: Record) -> Record:
    """The cell's record as it comes back from its file; CheckFailed when it cannot be stored."""
    cell = Cell("digits", "mlp:32-16", "+".join(map(str, targets)), tuner, 0)
    original = OriginalKey("0" * 64, cell.dataset, cell.model, "", Recipe("quick", 0.05, 300), "holdout", cell.seed)
    job = Job(cell, original, OPTIONS, cell_inputs(cell, original, OPTIONS, ""))
    record = record_of(job, {}, result)
    try:
        check_output(record, job)
    except InvalidOutput as exc:
        raise CheckFailed(f"{exc}; search with plain numbers and texts, in rays() too") from exc
    stored: Record = json.loads(json.dumps(record))
    return stored
