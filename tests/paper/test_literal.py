"""The paper's evaluation to the letter: against a loop, and what becomes of silent neurons."""

import pytest
import torch
from digits import digits_task

from tunebench.paper.choices import table3, table6
from tunebench.paper.literal import EPSILON, literal_synapses


def by_hand(task, k):
    """Threshold and count of every neuron, sample by sample as algorithm 1 says; plain floats."""
    logits, labels = task.logits_train.double(), task.y_train.tolist()
    predicted = logits.argmax(1).tolist()
    found = []
    for values in task.hidden_train.double().T.tolist():
        wrong, right = [], []
        for v, row, label, guess in zip(values, logits.tolist(), labels, predicted, strict=True):
            ratio = abs((max(row) - row[task.target]) / (v + EPSILON))
            if label == task.target and guess != label:
                wrong.append(ratio)
            elif label != task.target and guess == label:
                right.append(ratio)
        threshold = sorted(right)[k - 1] - EPSILON
        found.append((threshold, sum(ratio <= threshold for ratio in wrong)))
    return found


@pytest.mark.parametrize("k", [1, 2])
def test_the_letter_is_what_a_loop_gives(k):
    """Active neurons, thresholds, counts and their order follow from the loop; weights are thresholds over n."""
    task = digits_task()
    found, expected = literal_synapses(task, k), by_hand(task, k)
    most = max(count for _, count in expected)
    active = [i for i, (_, count) in enumerate(expected) if count and 2 * count >= most]
    active.sort(key=lambda i: (-expected[i][1], -expected[i][0], i))
    assert found.neurons.tolist() == active
    assert found.threshold.tolist() == pytest.approx([expected[i][0] for i in active])
    assert found.count.tolist() == [expected[i][1] for i in active]
    weight = found.edit(task, 2).weight[task.target]
    assert weight[found.neurons[:2]].tolist() == pytest.approx([t / 2 for t in found.threshold[:2].tolist()])
    assert int((weight != 0).sum()) == min(2, len(active))


def test_a_silent_neuron_gets_a_huge_threshold():
    """A neuron that never fires on samples that are right is active by the letter, with a weight in the thousands."""
    task = digits_task()
    hidden = task.hidden_train.clone()
    wrong = (task.y_train == task.target) & (task.logits_train.argmax(1) != task.target)
    hidden[:, 7] = torch.where(wrong, 1.0, 0.0)
    found = literal_synapses(task.__class__(**{**vars(task), "hidden_train": hidden}), 2)
    place = found.neurons.tolist().index(7)
    assert bool(found.silent[place])
    assert found.threshold[place] > 1000
    assert found.count[place] == int(wrong.sum())
    assert found.ranking()["silent"] == int(found.silent.sum()) >= 1


def test_tables_3_and_6_hold_every_published_choice():
    """n, scale, active neurons and four counts of both tuners on all data sets; ours beside them by rule."""
    ranking = {"mnist/sj": [{"active": 3, "counts": [5, 4, 4], "literal": {"active": 9, "silent": 2, "counts": [8]}}]}
    chosen, active = table3({}), table6(ranking)
    assert [line.published for line in chosen.lines[:4]] == [7, 4, 2, 4]
    rows = {line.label: line for line in active.lines}
    assert rows["MNIST, SJ, active neurons"].published == 19
    assert rows["MNIST, SJ, active neurons"].ours == {"paper": [3], "literal": [9]}
    assert rows["MNIST, SJ, of these silent"].ours == {"literal": [2]}
    assert rows["MNIST, SJ, count of rank 2"].ours == {"paper": [4], "literal": []}
    reduced = rows["EMNIST, 47 classes, reduced, SMVT-SJ, active neurons"]
    assert reduced.published == rows["EMNIST Balanced, SMVT-SJ, active neurons"].published == 15
