"""The evaluation of candidate synapses on all its paths: each gives what the literal algorithm gives."""

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
