"""``tunebench run`` with what a user forbids: all that is chosen keeps it, and what is malformed is refused."""

import json

import pytest
import torch
from conftest import run_command

from tunebench.grid.finishing import rebuilt
from tunebench.grid.tasks import load_task
from tunebench.networks.models import find_model
from tunebench.networks.originals import OriginalKey
from tunebench.networks.recipes import Recipe
from tunebench.plugins import load_registry
from tunebench.results.store import Store
from tunebench.selection.constraints import constrained
from tunebench.selection.selector import SearchOptions

GRID = ("run", "-d", "digits", "--target", "8", "--seeds", "1", "--trials", "4", "--budget", "5", "--no-latency", "-q")
TUNERS = ("logit-bias", "refit-sparse", "smvt-sj")
HARMED, POINTS = 1, 2.0
"""The class that an eight costs most, and what it may lose."""
LARGEST = 0.02


def run(folder, model, *limits):
    """The folder of a run of `TUNERS` on ``model`` under ``limits``."""
    tuners = [word for name in TUNERS for word in ("-t", name)]
    done = run_command(*GRID, *tuners, "-m", model, *limits, "-o", folder)
    assert done.code == 0, done.err
    return folder


@pytest.fixture(scope="module")
def runs(own_cache, tmp_path_factory):
    """``runs(model, *limits)``: the folder of such a run, made once."""
    made, root = {}, tmp_path_factory.mktemp("limits")

    def made_once(model, *limits):
        if (model, *limits) not in made:
            made[model, *limits] = run(root / f"{len(made)}", model, *limits)
        return made[model, *limits]

    return made_once


def choices(folder):
    """(task, record, point, network) of every choice of a run: each tuner, variant and budget, rebuilt."""
    registry = load_registry()
    for cell, path in Store(folder).cells():
        record = json.loads(path.read_text("utf-8"))["content"]
        facts = record["inputs"]["original"]
        key = OriginalKey(**facts | {"recipe": Recipe(**facts["recipe"])})
        task = load_task(key, find_model(cell.model), (8,), cell.tuner, torch.device("cpu"))
        task = constrained(task, SearchOptions(**record["options"]))
        for points in record["points"].values():
            for point in points.values():
                yield task, record, point, rebuilt(task, registry.tuner(cell.tuner), point)


def said(folder, limit, value, text):
    """Whether every record names ``limit`` with ``value``, and what people read says it as ``text``."""
    records = [json.loads(path.read_text("utf-8"))["content"] for _, path in Store(folder).cells()]
    assert len(records) == len(TUNERS)
    assert all(record["status"] == "ok" for record in records)
    assert all(record["options"][limit] == record["inputs"]["options"][limit] == value for record in records)
    page = (folder / "leaderboard.md").read_text("utf-8")
    return f"limits of every choice: {limit} {text}" in page.replace("\\", "")


def lost(folder):
    """The most validation samples of `HARMED` that a choice has wrong more than the original, and of how many."""
    most = 0
    for task, _, _, network in choices(folder):
        mine = task.y_valid == HARMED
        with torch.no_grad():
            before, after = (int((m(task.x_valid).argmax(1) == HARMED)[mine].sum()) for m in (task.model, network))
        most = max(most, before - after)
    return most, int(mine.sum())


def test_a_protected_class_keeps_its_recall(runs):
    """On validation it loses as many samples as are allowed at most, in all that was chosen; unprotected more."""
    kept = runs("mlp:8", "--protect", f"{HARMED}:{POINTS:g}")
    assert said(kept, "protect", "1:2", "1:2")
    free, (least, samples) = lost(runs("mlp:8"))[0], lost(kept)
    allowed = int(POINTS * samples / 100)
    assert least <= allowed < free
    assert lost(runs("mlp:8", "--protect", f"{HARMED}"))[0] <= 0


def joined(folder):
    """How many synapses from the first and from the last hidden layer the choices of a run have, and what they cost.

    {(from the first, from the last, parameters more than the original has)} of ``mlp:8-6``. Units of the first layer
    that join are carried through the second and come after its own in the output layer.
    """
    found = set()
    for task, _, point, network in choices(folder):
        old, new = task.model[-1].weight, network[-1].weight
        own = old.shape[1]
        more = point["cost"]["params"] - sum(int(part.count_nonzero()) for part in task.model.parameters())
        found.add((int(new[:, own:].count_nonzero()), int((new[:, :own] != old).sum()), more))
    return found


def sources(folder):
    """Which hidden layers the synapses of all choices come from."""
    return {layer for counts in joined(folder) for layer in (0, 1) if counts[layer]}


@pytest.mark.parametrize(("layers", "kept"), [("-1", 1), ("not 0", 1), ("0", 0)])
def test_synapses_come_from_the_layers_that_are_named(runs, layers, kept):
    """None comes from another one and some from the one that is named, in all that was chosen; else from both."""
    limited = runs("mlp:8-6", "--synapse-layers", layers)
    assert said(limited, "synapse_layers", layers, layers)
    assert sources(limited) == {kept}
    assert sources(runs("mlp:8-6")) == {0, 1}


@pytest.mark.parametrize("most", [0, 2])
def test_no_more_parameters_are_added_than_may_be(runs, most):
    """Synapses from an early layer are new parameters, those within the output layer are there already."""
    limited = runs("mlp:8-6", "--max-new-params", f"{most}")
    assert said(limited, "max_new_params", most, most)
    counts = joined(limited)
    assert max(early for early, _, _ in counts) <= most
    assert max(more for _, _, more in counts) <= most
    assert any(late for _, late, _ in counts)
    assert max(more for _, _, more in joined(runs("mlp:8-6"))) > 2


def largest(folder):
    """The largest weight that a choice adds in ``mlp:8``."""
    return max(
        float((network[-1].weight - task.model[-1].weight).detach().abs().max())
        for task, _, _, network in choices(folder)
    )


def test_no_weight_is_added_that_is_larger_than_it_may_be(runs):
    """In all that was chosen, which is something; without the flag larger ones are added."""
    limited = runs("mlp:8", "--max-weight", f"{LARGEST}")
    assert said(limited, "max_weight", LARGEST, LARGEST)
    assert 0.5 * LARGEST < largest(limited) <= LARGEST * (1 + 1e-5)
    assert largest(runs("mlp:8")) > 2 * LARGEST


@pytest.mark.parametrize(
    ("flags", "fault"),
    [
        (("--protect", "11"), "unknown protected class '11'; did you mean 1?"),
        (("--protect", "3:-1"), "protect '3:-1': give points of recall between 0 and 100, such as 3:0.5"),
        (("--protect", "3:101"), "protect '3:101': give points of recall between 0 and 100"),
        (("--protect", "3:half"), "protect '3:half': give points of recall"),
        (("--protect", "3", "--protect", "3:1"), "protect names class 3 twice"),
        (("--protect", "8"), "class 8 is a target and protected"),
        (("--synapse-layers", "last"), "synapse_layers is 'last'; name hidden layers"),
        (("--synapse-layers", "0.5"), "synapse_layers is '0.5'; name hidden layers"),
        (("--max-new-params", "-1"), "max_new_params is -1; give 0 or more"),
        (("--max-new-params", "few"), "'few' is not a valid integer"),
        (("--max-weight", "-1"), "max_weight is -1.0; give the largest size of a new weight, above 0"),
        (("--max-weight", "nan"), "max_weight is nan; give the largest size"),
        (("--max-weight", "small"), "'small' is not a valid float"),
    ],
    ids=str,
)
def test_a_limit_that_means_nothing_is_refused(own_cache, tmp_path, flags, fault):
    """Exit code 2 and one line that says what to give, before an original is trained or a folder made."""
    before = sorted(own_cache.rglob("*"))
    done = run_command(*GRID, "-m", "mlp:7", "-t", "smvt-sj", *flags, "-o", tmp_path / "out")
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert fault in done.err
    assert not (tmp_path / "out").exists()
    assert not [path for path in own_cache.rglob("*") if path not in before and "originals" in path.parts]


@pytest.mark.parametrize("layers", ["2", "not -3"])
def test_a_network_without_the_layer_is_left_out(tmp_path, layers):
    """Its cells say so in one line, since a grid has networks of several depths; others are computed."""
    done = run_command(
        *GRID, "-m", "mlp:8-6", "-m", "mlp:4-4-4", "-t", "smvt-sj", "--synapse-layers", layers, "-o", tmp_path
    )
    assert done.code == 0, done.err
    records = {cell.model: json.loads(path.read_text("utf-8"))["content"] for cell, path in Store(tmp_path).cells()}
    assert {model: record["status"] for model, record in records.items()} == {"mlp:8-6": "skipped", "mlp:4-4-4": "ok"}
    layer = layers.split()[-1]
    assert records["mlp:8-6"]["reason"] == f"synapse_layers names layer {layer}; the network has hidden layers 0 to 1"
