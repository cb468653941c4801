"""Tuners in this process: one that misbehaves is a line as in a run, and costs no other and no caller anything."""

import numpy as np
import pytest
import torch
from user import ORDER

import tunebench
from tunebench.own import comparison
from tunebench.own.report import table
from tunebench.plugins import PluginFile, load_registry

EIGHT = ORDER.index("eight")
TUNERS = """
import torch
from tunebench import Inapplicable, LogitEdit, Tuner


class Spoils(Tuner):
    name = "a-spoils"

    def tune(self, task, params, prepared):
        for tensor in (*task.model.parameters(), task.x_valid, task.logits_valid, task.hidden_train):
            tensor.data.zero_()
        return LogitEdit.of_target(task, bias=1.0)


class Breaks(Tuner):
    name = "b-breaks"

    def skip(self, task):
        raise ValueError("no luck")

    def tune(self, task, params, prepared):
        return LogitEdit.of_target(task)


class Passes(Tuner):
    name = "c-passes"

    def tune(self, task, params, prepared):
        raise Inapplicable("nothing to train")


class Draws(Tuner):
    name = "draws"

    def tune(self, task, params, prepared):
        return LogitEdit.of_target(task, bias=float(torch.rand(())))
"""


@pytest.fixture
def tuners(tmp_path, monkeypatch):
    """The bundled tuners and those above."""
    (tmp_path / "tuners.py").write_text(TUNERS)
    registry = load_registry([PluginFile.read(tmp_path / "tuners.py")])
    monkeypatch.setattr(comparison, "load_registry", lambda: registry)


def figures(report):
    """TA, OA and parameters of every candidate that is ok."""
    return {
        line["tuner"]: (line["ta"], line["oa"], line["params"])
        for line in report["candidates"]
        if line["status"] == "ok"
    }


def test_a_tuner_that_misbehaves_costs_no_other(home, tuners):
    """Its status is what a run would say; the rest, her samples and her generator are as they were without it."""
    fit, held = ((x.astype(np.float32) / 255, y) for x, y in (home.fit, home.held))
    kept, state = held[0].copy(), torch.get_rng_state()
    bad = ["a-spoils", "b-breaks", "c-passes"]
    found = tunebench.tune(home.model, fit, held, EIGHT, tuners=[*bad, "draws", "logit-bias"])
    lines = {line["tuner"]: line for line in found.report["candidates"]}
    assert [lines[name]["status"] for name in bad] == ["invalid", "error", "skipped"]
    assert "work on a copy" in lines["a-spoils"]["reason"]
    assert lines["c-passes"]["reason"] == "nothing to train"
    assert "ValueError: no luck" in comparison_table(found)
    assert np.array_equal(held[0], kept)
    assert torch.equal(torch.get_rng_state(), state)
    torch.rand(3)
    alone = tunebench.tune(home.model, fit, held, EIGHT, tuners=["draws", "logit-bias"])
    assert figures(alone.report) == figures(found.report)


def comparison_table(found):
    """The table of a report, every row of which is a line."""
    text = table(found.details)
    assert len(text.splitlines()) == 2 + len(found.report["candidates"])  # a heading, a rule
    return text
