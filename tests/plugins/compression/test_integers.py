"""Networks in 8-bit integers: as good, a quarter of the bytes, exact copies, and what tuners can do with them."""

import copy
import pickle

import optuna
import pytest
import torch
from digits import tuned
from pressed import accuracy, parent, pressed, registry, samples, spec_of, task_of
from tunebench_compression import session
from undecided import Undecided

from tunebench import Inapplicable
from tunebench.datasets import Samples
from tunebench.networks import compressed
from tunebench.networks.compressed import blank, compress, network_of, on_meta, shapes_of
from tunebench.networks.cost import count_bytes, count_flops, count_params
from tunebench.networks.probe import built
from tunebench.networks.sites import survey

FORMS = ("int8", "int8-qat")
EDITING = ("original", "logit-bias", "smvt-sj", "refit-all", "last-layer", "target-scale", "tau-norm")
TRAINING = ("weighted-finetune", "camri", "group-dro", "jtt", "soup")


def some_parameters(tuner):
    """A point of a tuner's search space, with few steps."""
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=1))
    params = study.ask(fixed_distributions=dict(tuner.search_space())).params
    return params | ({"steps": 20} if "steps" in params else {})


@pytest.mark.parametrize("kind", ["mlp", "cnn"])
@pytest.mark.parametrize("written", FORMS)
@pytest.mark.parametrize("name", EDITING)
def test_tuners_of_the_output_layer(name, written, kind):
    """They see the units that it reads, and what they return has the same integers; nothing is mended that is right."""
    model, _ = pressed(kind, written)
    tuner, task = registry().tuner(name), task_of(model)
    assert tuner.skip(task) is None
    assert task.hidden_train.shape[1] == model.head.in_features
    after = tuned(tuner, task, some_parameters(tuner))
    assert torch.equal(after.trunk.graph, model.trunk.graph)
    mistakes = bool((task.logits_train.argmax(1) != task.y_train).any())
    changed = name != "original" and (name != "smvt-sj" or mistakes)  # SJ votes on the mistakes of training
    assert torch.equal(after(task.x_valid), model(task.x_valid)) != changed


@pytest.mark.parametrize("written", FORMS)
@pytest.mark.parametrize("name", TRAINING)
def test_tuners_that_train_say_why_they_cannot(name, written):
    """Integers have no gradient: such a cell is skipped with the reason, and the network stays as it is."""
    model, _ = pressed("cnn", written)
    before = copy.deepcopy(model.state_dict())
    tuner, task = registry().tuner(name), task_of(model)
    with pytest.raises(Inapplicable, match="8-bit integers, which gradients cannot move"):
        tuner.tune(task, some_parameters(tuner), tuner.prepare(task))
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


@pytest.mark.parametrize("kind", ["mlp", "cnn"])
@pytest.mark.parametrize("written", FORMS)
def test_it_still_classifies(written, kind):
    """Little accuracy is lost on samples that were not trained on."""
    assert accuracy(pressed(kind, written)[0]) > accuracy(parent(kind)) - 0.02


@pytest.mark.parametrize("kind", ["mlp", "cnn"])
@pytest.mark.parametrize("written", FORMS)
def test_copies_are_exact(written, kind):
    """Rebuilt from shapes, copied, pickled, or given other batches: the same logits to the last bit."""
    model, _ = pressed(kind, written)
    x = samples().x[:300]
    again = blank(spec_of(written), copy.deepcopy(parent(kind)), [on_meta(shapes_of(model.state_dict()))], (1, 8, 8))
    again.load_state_dict(model.state_dict())
    with torch.no_grad():
        trunk = model.trunk(x)
        for other in (again, copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
            assert torch.equal(other.trunk(x), trunk)
        assert torch.equal(torch.cat([model.trunk(x[:1]), model.trunk(x[1:])]), trunk)
    again.load_state_dict({name: value * 0 for name, value in model.state_dict().items()})
    with pytest.raises(Exception, match="INVALID_PROTOBUF"):
        again(x)  # the file that it had is gone


def test_what_it_costs():
    """lenet takes at most 0.30 of its bytes; what rounds to zero is counted as such, as the file has it."""
    onnx = pytest.importorskip("onnx")
    x = torch.randn(70, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        before = built(network_of("lenet", registry()), (1, 28, 28), 10)
    made = network_of("lenet+int8", registry()).made
    after, _ = compress(made, before, Samples(x, torch.arange(70) % 10), 10, seed=0)
    assert count_bytes(after) <= 0.30 * count_bytes(before)
    file = onnx.load_from_string(after.trunk.graph.numpy().tobytes())
    arrays = [onnx.numpy_helper.to_array(item) for item in file.graph.initializer if "quantized" in item.name]
    weights = sum(int((array != 0).sum()) for array in arrays if array.ndim > 1)
    dense = sum(p.numel() for p in before.parameters() if p.dim() > 1)
    assert 0.9 * dense < weights + 840 < dense
    assert count_params(after) == weights + 840 + sum(p.numel() for p in before.parameters() if p.dim() == 1)
    assert 0.9 < count_flops(after, x[:1]) / count_flops(before, x[:1]) < 1


def test_what_cannot_be_traced():
    """It is not for this compression, with the reason in one line."""
    with pytest.raises(Inapplicable, match="cannot take the network in 8-bit integers: ") as caught:
        compress(spec_of("int8").made, Undecided(), samples(), 10, seed=0)
    assert "\n" not in str(caught.value)


def test_missing_packages(monkeypatch):
    """One line says what to install."""
    monkeypatch.setattr(compressed, "version_of", lambda package: None)
    with pytest.raises(Inapplicable, match=r"int8 needs .*; pip install onnx onnxruntime onnxscript"):
        compress(spec_of("int8").made, parent("mlp"), samples(), 10, seed=0)


def test_a_machine_without_the_kernels(monkeypatch):
    """What onnxruntime says when it has none is the reason, in one line."""

    def refuse(graph):
        raise RuntimeError("Could not find an implementation for QLinearMatMul(10)\nnode: 3")

    monkeypatch.setattr(session, "session_of", refuse)
    with pytest.raises(Inapplicable) as caught:
        compress(spec_of("int8").made, parent("mlp"), samples(), 10, seed=0)
    assert str(caught.value).endswith("8-bit integers: Could not find an implementation for QLinearMatMul(10)")


def test_no_output_layer():
    """A network whose last layer cannot be taken out is quantised whole, and its logits can be shifted."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 10), torch.nn.Tanh())
    after, _ = compress(spec_of("int8").made, model, samples(), 10, seed=0)
    assert survey(after, (1, 8, 8)).output is None
    assert tuned(registry().tuner("logit-bias"), task_of(after), {})(samples().x[:2]).shape == (2, 10)


def test_runs(tunebench, tmp_path):
    """Through the command: rows of the output layer are computed and timed, training is skipped with its reason."""
    import json

    from tunebench.results.store import Store

    done = tunebench("run", "-d", "digits", "-m", "mlp:24+int8", "-t", "logit-bias", "-t", "weighted-finetune",
                     "--trials", "2", "--seeds", "1", "-q", "-o", tmp_path / "run")  # fmt: skip
    assert done.code == 0, done.err
    store = Store(tmp_path / "run")
    cells = {cell.tuner: store.get("cells", cell) for cell, _ in store.cells()}
    assert cells["logit-bias"]["status"] == "ok"
    assert cells["weighted-finetune"]["status"] == "skipped"
    assert "8-bit integers" in cells["weighted-finetune"]["reason"]
    times = [json.loads(path.read_text()) for path in (tmp_path / "run" / "times").rglob("*.json")]
    assert [time["content"]["like_original"] for time in times] == [True]
