"""The evaluation of candidate synapses against the literal algorithm, and the properties it promises."""

from __future__ import annotations

import itertools
import sys

import pytest
import torch
import tunebench_synapse
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle import evaluate_literally
from synapse_tables import Tables, random_tables, tables
from torch import Tensor
from tunebench_synapse import Evaluation, StreamingEvaluator, evaluate, evaluate_all, kernel

torch.set_num_threads(1)
RANKS = 8


def one_pass(tables: Tables, targets=None, k_max: int = RANKS, *, compiled: bool = True) -> Evaluation:
    """All targets and ranks, on the path asked for however small the table."""
    stream = StreamingEvaluator(targets, k_max, compiled=compiled)
    stream.update(*tables)
    return stream.result()


def same(left: Evaluation, right: Evaluation) -> bool:
    """Whether two results are equal to the last bit."""
    return torch.equal(left.threshold, right.threshold) and torch.equal(left.count, right.count)


@pytest.mark.parametrize("compiled", [False, True])
@settings(deadline=None, max_examples=100)
@given(tables=tables())
def test_agrees_with_the_literal_algorithm(compiled, tables):
    """Both paths give the thresholds and counts of the oracle for every class and rank, to the last bit."""
    result = one_pass(tables, compiled=compiled)
    nested = [table.tolist() for table in tables]
    for target, k in itertools.product(range(tables[1].shape[1]), range(1, RANKS + 1)):
        if len(tables[2]):
            threshold, count = evaluate_literally(*nested, target, k)
            assert result.threshold[target, k - 1].tolist() == threshold
            assert result.count[target, k - 1].tolist() == count
        else:
            assert not result.threshold.any()
            assert not result.count.any()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_agrees_with_the_literal_algorithm_on_random_tables(dtype):
    """On a few hundred samples, where counts are not trivially zero, `evaluate` equals the oracle."""
    data = random_tables(1, 400, dtype=dtype)
    nested = [table.tolist() for table in data]
    total = 0
    for target, k in itertools.product(range(4), (1, 2, 5)):
        result = evaluate(*data, target, k)
        threshold, count = evaluate_literally(*nested, target, k)
        assert result.threshold.tolist() == pytest.approx(threshold, rel=1e-5)
        assert result.count.tolist() == count
        total += sum(count)
    assert total > 0


def test_paths_agree_on_a_large_table():
    """Chunks, tiles and groups of rows do not show: 9,001 samples of 600 neurons, some silent."""
    hidden, logits, labels = random_tables(2, 9001, 600, 10, torch.float32)
    hidden[:, ::7] = 0
    hidden[8995:, 7] = 1  # fires on less than one in a thousand samples
    tables = hidden, logits, labels
    compiled, readable = one_pass(tables), one_pass(tables, compiled=False)
    assert same(compiled, readable)
    assert compiled.count.sum() > 0
    assert not compiled.threshold[:, :, ::7].any()
    columns = evaluate_literally(hidden[:, 590:].tolist(), logits.tolist(), labels.tolist(), 3, 2)
    assert compiled.threshold[3, 1, 590:].tolist() == columns[0]
    assert compiled.count[3, 1, 590:].tolist() == columns[1]


@pytest.mark.parametrize("compiled", [False, True])
@settings(deadline=None, max_examples=50)
@given(tables=tables(), cuts=st.lists(st.integers(0, 12), max_size=4))
def test_streaming_equals_one_pass(compiled, tables, cuts):
    """However the samples are cut into batches, the result is that of the whole table."""
    stream = StreamingEvaluator(k_max=3, compiled=compiled)
    edges = [0, *sorted(cuts), len(tables[2])]
    for start, stop in itertools.pairwise(edges):
        stream.update(*(table[start:stop] for table in tables))
    assert same(stream.result(), one_pass(tables, k_max=3, compiled=compiled))


@pytest.mark.parametrize("compiled", [False, True])
@settings(deadline=None, max_examples=40)
@given(tables=tables(), threads=st.integers(2, 5))
def test_threads_do_not_show(compiled, tables, threads):
    """However many threads share two batches, also more than there are samples, the result is that of one."""
    stream = StreamingEvaluator(k_max=3, compiled=compiled, threads=threads)
    for part in (slice(0, 7), slice(7, None)):
        stream.update(*(table[part] for table in tables))
    assert same(stream.result(), one_pass(tables, k_max=3, compiled=compiled))


def test_threads_agree_on_a_large_table():
    """Shares of thousands of samples, all targets: the result of one thread, and of bad values the same error."""
    data = random_tables(7, 9001, 200, 10, torch.float32)
    alone = evaluate_all(*data)
    assert same(evaluate_all(*data, threads=3), alone)
    assert alone.count.sum() > 0
    data[0][-1, -1] = -1
    with pytest.raises(ValueError, match="negative"):
        evaluate_all(*data, threads=3)
    with pytest.raises(ValueError, match="threads must be at least 1"):
        evaluate_all(*data, threads=0)


def test_one_target_is_a_row_of_all():
    """`evaluate`, `evaluate_all` for one target and for every class agree with each other."""
    data = random_tables(3, 300)
    every = evaluate_all(*data)
    some = evaluate_all(*data, targets=[2, 0], k_max=3)
    assert torch.equal(some.threshold, every.threshold[[2, 0], :3])
    for k in (1, 2, 8):
        alone = evaluate(*data, 2, k)
        assert torch.equal(alone.threshold, every.threshold[2, k - 1])
        assert torch.equal(alone.count, every.count[2, k - 1])
    assert alone.threshold.dtype == torch.float64
    assert alone.count.dtype == torch.int64


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_taken_exactly(dtype, compiled):
    """Half-precision tables give what their values give in float64."""
    hidden, logits, labels = random_tables(4, 200, dtype=dtype)
    exact = one_pass((hidden.double(), logits.double(), labels), compiled=compiled)
    assert same(one_pass((hidden, logits, labels.to(torch.uint8)), compiled=compiled), exact)


@pytest.mark.parametrize("compiled", [False, True])
def test_layout_and_gradients_do_not_matter(compiled):
    """Transposed storage and tensors that carry gradients give the same result, and stay as they are."""
    hidden, logits, labels = random_tables(5, 200)
    strided = hidden.t().contiguous().t().requires_grad_()
    before = strided.detach().clone()
    assert same(one_pass((strided, logits, labels), compiled=compiled), one_pass((hidden, logits, labels)))
    assert torch.equal(strided, before)


@pytest.mark.parametrize("k", [1, 2, 4])
def test_count_equals_a_forward_pass_with_the_synapse(k):
    """Adding one synapse with its threshold as weight corrects exactly `count` samples of the target."""
    total = 0
    for seed in range(5):
        hidden, logits, labels = random_tables(seed, 400)
        result = evaluate(hidden, logits, labels, 1, k)
        wrong = (labels == 1) & (logits.argmax(1) != 1)
        for i, threshold in enumerate(result.threshold):
            edited = logits.clone()
            edited[:, 1] += threshold * hidden[:, i]
            assert int((wrong & (edited.argmax(1) == 1)).sum()) == int(result.count[i])
        total += int(result.count.sum())
    assert total > 10


@settings(deadline=None, max_examples=60)
@given(
    seed=st.integers(0, 2**32),
    n=st.integers(1, 12),
    k=st.integers(1, 4),
    scale=st.floats(0, 1),
    ties=st.booleans(),
)
def test_flips_are_bounded(seed, n, k, scale, ties):
    """n synapses of weight threshold / n, scaled by at most 1, flip at most n (k - 1) samples of ``D_c``."""
    hidden, logits, labels = random_tables(seed, 150)
    if ties:
        hidden, logits = hidden.round(), logits.round()
    threshold = evaluate(hidden, logits, labels, 0, k).threshold
    chosen = threshold.nonzero().squeeze(1)[:n]
    right = (labels != 0) & (logits.argmax(1) == labels)
    edited = logits.clone()
    edited[:, 0] += scale * (hidden[:, chosen] @ (threshold[chosen] / max(1, len(chosen))))
    assert int((right & (edited.argmax(1) != labels)).sum()) <= len(chosen) * (k - 1)


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("k", [1, 2])
def test_flips_are_bounded_in_float32(seed, k):
    """The bound holds in float32 for all samples whose gap is so wide that the guard covers rounding."""
    hidden, logits, labels = random_tables(seed, 2000, dtype=torch.float32)
    threshold = evaluate(hidden, logits, labels, 0, k).threshold
    chosen = threshold.nonzero().squeeze(1)
    gap = logits.amax(1) - logits[:, 0]
    guarded = gap * 1e-4 > 4 * torch.finfo(torch.float32).eps * logits.abs().amax(1)
    right = guarded & (labels != 0) & (logits.argmax(1) == labels)
    edited = logits.clone()
    edited[:, 0] += hidden[:, chosen] @ (threshold[chosen] / len(chosen)).float()
    assert int((right & (edited.argmax(1) != labels)).sum()) <= len(chosen) * (k - 1)


def test_a_rare_neuron_is_no_candidate():
    """A neuron needs k firing samples of ``D_c`` and one in a thousand; at exactly that many it counts."""
    n = 3000
    logits = torch.tensor([[0.0, 1.0]]).repeat(n, 1)
    labels = torch.ones(n, dtype=torch.int64)
    labels[-1] = 0  # D_w
    hidden = torch.zeros(n, 3)
    hidden[:2, 0] = 1
    hidden[:3, 1] = 1
    hidden[:4, 2] = 1
    hidden[-1] = 5
    assert evaluate(hidden, logits, labels, 0, 1).count.tolist() == [0, 1, 1]
    assert evaluate(hidden, logits, labels, 0, 4).count.tolist() == [0, 0, 1]


@pytest.mark.parametrize(
    ("labels", "target", "k"),
    [([0, 0, 1], 1, 1), ([1, 1, 1], 1, 1), ([0, 0, 1], 1, 10**9), ([2, 2, 2], 0, 1)],
)
def test_nothing_to_gain_is_zero(labels, target, k):
    """No ``D_w``, no ``D_c`` or too high a rank: counts 0, thresholds finite and not negative."""
    hidden = torch.tensor([[1.0], [2.0], [0.0]])
    logits = torch.tensor([[1.0, 0.0, 0.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    result = evaluate(hidden, logits, torch.tensor(labels), target, k)
    assert result.count.tolist() == [0]
    assert bool(((result.threshold >= 0) & result.threshold.isfinite()).all())


def bad(name: str, value) -> dict:
    """Good arguments of `evaluate` but for one: a value, or a function of the good one."""
    good = dict(zip(("hidden", "logits", "labels"), random_tables(0, 20), strict=True)) | {
        "target": 0,
        "k": 1,
    }
    if callable(value):
        value = value(good[name].clone())
    return good | {name: value}


def put(value: float):
    """A change of a table's last entry."""

    def change(table: Tensor) -> Tensor:
        table[-1, -1] = value
        return table

    return change


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (bad("hidden", put(torch.nan)), "hidden holds NaN"),
        (bad("hidden", put(torch.inf)), "hidden holds NaN or infinite"),
        (bad("hidden", put(-1e-300)), "hidden holds negative"),
        (bad("hidden", lambda t: t[0]), "hidden must be a matrix"),
        (bad("hidden", lambda t: t.long()), "hidden must be a matrix of floats"),
        (bad("hidden", lambda t: t[1:]), "hidden, logits and labels disagree"),
        (bad("logits", put(torch.nan)), "logits hold NaN"),
        (bad("logits", put(-torch.inf)), "logits hold NaN or infinite"),
        (bad("logits", lambda t: t[:, :0]), "logits must have"),
        (bad("labels", lambda t: t.fill_(4)), "labels must lie in 0..3"),
        (bad("labels", lambda t: t.fill_(-1)), "labels must lie in 0..3"),
        (bad("labels", lambda t: t.double()), "labels must be a vector of integers"),
        (bad("target", 4), "target 4"),
        (bad("target", -1), "target -1"),
        (bad("k", 0), "k must be at least 1"),
    ],
)
def test_bad_input_is_named(arguments, message, compiled, monkeypatch):
    """Every unusable input is a ValueError that says which it is, on both paths."""
    monkeypatch.setattr(tunebench_synapse.evaluation, "SMALL", 0 if compiled else sys.maxsize)
    with pytest.raises(ValueError, match=message):
        evaluate(**arguments)


def test_a_refused_batch_ends_the_stream():
    """After an error no result can be read, for the batch may have been counted in part."""
    hidden, logits, labels = random_tables(0, 20)
    stream = StreamingEvaluator()
    with pytest.raises(ValueError, match="no batch"):
        stream.result()
    stream.update(hidden, logits, labels)
    with pytest.raises(ValueError, match="5 neurons"):
        stream.update(hidden[:, :5], logits, labels)
    with pytest.raises(ValueError, match="negative"):
        stream.update(-hidden, logits, labels)
    with pytest.raises(ValueError, match="refused"):
        stream.update(hidden, logits, labels)
    with pytest.raises(ValueError, match="refused"):
        stream.result()


def test_targets_are_checked():
    """A target given twice is refused: its samples would be counted for one of the two only."""
    with pytest.raises(ValueError, match="twice"):
        evaluate_all(*random_tables(0, 20), targets=[1, 1])


def test_works_without_numba(monkeypatch):
    """Where numba cannot be imported, the torch path gives the result."""
    data = random_tables(6, 200)
    expected = one_pass(data)
    monkeypatch.setitem(sys.modules, "numba", None)
    for name in ("onepass", "compiling"):
        monkeypatch.delitem(sys.modules, f"tunebench_synapse.{name}", raising=False)
        monkeypatch.delattr(tunebench_synapse, name, raising=False)
    kernel.available.cache_clear()
    assert not kernel.available()
    assert same(one_pass(data), expected)
    kernel.available.cache_clear()


def test_compiles_without_a_place_for_the_cache():
    """A function whose code numba cannot keep on disk is compiled all the same."""
    compiling = pytest.importorskip("tunebench_synapse.compiling")
    scope: dict = {}
    exec("def twice(x):\n    return x + x", scope)  # no source file: "no locator available"
    assert compiling.Compiled(scope["twice"])(4) == 8


def test_compiles_when_the_cache_cannot_be_written(monkeypatch):
    """A cache folder that fails at the first call, a full disk say, costs a compilation and nothing else."""
    compiling = pytest.importorskip("tunebench_synapse.compiling")

    def njit(*, cache=False, **options):
        def decorate(function):
            def call(*arguments):
                if cache:
                    raise OSError(28, "No space left on device")
                return function(*arguments)

            return call

        return decorate

    monkeypatch.setattr(compiling, "njit", njit)
    compiled = compiling.Compiled(lambda x: x + 1)
    assert [compiled(1), compiled(2)] == [2, 3]
