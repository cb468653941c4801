"""``tunebench tune`` with what a user forbids: the network that comes home keeps it, and what is wrong is refused."""

import json

import pytest
import torch
from conftest import run_command
from safetensors.torch import load_file
from user import ORDER

HARMED, POINTS = "one", 2
"""The class that an eight costs most, and what it may lose."""


@pytest.fixture(scope="module")
def tuned(home, tmp_path_factory):
    """``tuned(tuner, *limits)``: report.json and the tuned network, None where it is not of her class; made once."""
    made, root = {}, tmp_path_factory.mktemp("limits")

    def made_once(tuner, *limits):
        if (tuner, *limits) not in made:
            out = root / f"{len(made)}"
            done = run_command(
                *home.arguments("--tuner", tuner, "--budget", "5" if tuner == "logit-bias" else "1", "-o", out, *limits)
            )
            assert done.code == 0, done.err
            made[tuner, *limits] = out
        out, network = made[tuner, *limits], home.module.Net()
        report = json.loads((out / "report.json").read_text("utf-8"))
        assert report["tuner"] == tuner
        if "tuned.safetensors" in report["files"]:
            network.load_state_dict(load_file(out / "tuned.safetensors"))
        else:
            network = None
        return report, network

    return made_once


def params(report):
    """Parameters of the network that comes home and of hers, as the report counts them."""
    counts = {line["tuner"]: line["cost"]["params"] for line in report["candidates"]}
    return counts[report["tuner"]], counts["original"]


def changed(home, network):
    """The largest change of each of her parameters, of those that are not bitwise as before."""
    pairs = zip(home.model.named_parameters(), network.parameters(), strict=True)
    return {name: float((new - old).detach().abs().max()) for (name, old), new in pairs if not torch.equal(old, new)}


def lost(home, network):
    """Samples of `HARMED` among those it was chosen on that ``network`` has wrong more than hers, on balance."""
    x, mine = torch.from_numpy(home.held[0]).float() / 255, torch.from_numpy(home.held[1]) == ORDER.index(HARMED)
    with torch.no_grad():
        before, after = (int((m(x).argmax(1) == ORDER.index(HARMED))[mine].sum()) for m in (home.model, network.eval()))
    return before - after


def test_a_protected_class_keeps_its_recall(home, tuned):
    """It loses as many samples as are allowed at most; unprotected more. The report names the limit."""
    report, network = tuned("logit-bias", "--protect", f"{HARMED}:{POINTS}")
    assert report["limits"] == {"protect": [f"{HARMED}:{POINTS}"]}
    allowed = int(POINTS * (home.held[1] == ORDER.index(HARMED)).sum() / 100)
    free, unprotected = tuned("logit-bias")
    assert free["limits"] == {}
    assert lost(home, network) <= allowed < lost(home, unprotected)
    assert report["tuned"]["ta"] > report["original"]["ta"]


def test_synapses_come_from_the_layers_that_are_named(home, tuned):
    """From the last hidden layer alone they are in her output layer; otherwise her class has no place for them."""
    report, network = tuned("refit", "--synapse-layers", "-1")
    assert report["limits"] == {"synapse_layers": "-1"}
    assert changed(home, network).keys() == {"f2.weight", "f2.bias"}
    free, program = tuned("refit")
    assert program is None
    assert "tuned.pt2" in free["files"]
    only, other = tuned("refit", "--synapse-layers", "not -1")
    assert other is None
    assert params(only)[0] > params(only)[1]


def test_no_more_parameters_are_added_than_may_be(home, tuned):
    """The report's count, and none at all goes into her own class."""
    report, network = tuned("smvt-sj", "--max-new-params", "0")
    assert report["limits"] == {"max_new_params": 0}
    after, before = params(report)
    assert after <= before == sum(int(p.count_nonzero()) for p in home.model.parameters())
    assert network is not None
    more, before = params(tuned("smvt-sj")[0])
    assert more > before


def test_no_weight_is_added_that_is_larger_than_it_may_be(home, tuned):
    """In the output layer, where all that is added lies: at most half of the largest that is added without the flag."""
    last = ("--synapse-layers", "-1")
    most = changed(home, tuned("refit", *last)[1])["f2.weight"] / 2
    report, network = tuned("refit", *last, "--max-weight", f"{most}")
    assert report["limits"] == {"synapse_layers": "-1", "max_weight": most}
    assert 0 < changed(home, network)["f2.weight"] <= most * (1 + 1e-5)


@pytest.mark.parametrize(
    ("flags", "fault"),
    [
        (("--protect", "on"), "unknown protected class 'on'; did you mean one?"),
        (("--protect", "one:-1"), "protect 'one:-1': give points of recall between 0 and 100, such as one:0.5"),
        (("--protect", "one", "--protect", "one:1"), "protect names class one twice"),
        (("--protect", "eight"), "class eight is a target and protected"),
        (("--synapse-layers", "3"), "synapse_layers names layer 3; the network has hidden layers 0 to 2"),
        (("--synapse-layers", "not -4"), "synapse_layers names layer -4; the network has hidden layers 0 to 2"),
        (("--synapse-layers", "last"), "synapse_layers is 'last'; name hidden layers"),
        (("--max-new-params", "-1"), "max_new_params is -1; give 0 or more"),
        (("--max-new-params", "few"), "'few' is not a valid integer"),
        (("--max-weight", "0"), "max_weight is 0.0; give the largest size of a new weight, above 0"),
        (("--max-weight", "small"), "'small' is not a valid float"),
    ],
    ids=str,
)
def test_a_limit_that_means_nothing_is_refused(home, tmp_path, flags, fault):
    """Exit code 2 and one line that says what to give, and nothing is written."""
    done = run_command(*home.arguments("--tuner", "smvt-sj", "-o", tmp_path / "out", *flags))
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert fault in done.err
    assert "TA gain" not in done.out
    assert not (tmp_path / "out").exists()
