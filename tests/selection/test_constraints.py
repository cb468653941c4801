"""What a user forbids: how it is written, what a task says of it, and that nothing chosen breaks it."""

import pytest
from digits import digits_task

from tunebench import UsageError
from tunebench.selection.constraints import constrained, layers_of, misfit, protect_text, protected_of
from tunebench.selection.selector import SearchOptions
from tunebench.training import limited


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("all", (0, 1, 2)),
        ("0,2", (0, 2)),
        ("-1", (2,)),
        ("-1,0", (0, 2)),
        ("not 0", (1, 2)),
        ("not 0,-2", (2,)),
        ("not 0,1,2", ()),
    ],
)
def test_layers_are_counted_from_either_end(text, expected):
    """Numbers from 0 or from the last by -1, those named or all but those."""
    assert layers_of(text, 3) == expected


@pytest.mark.parametrize(("text", "count", "has"), [("3", 3, "0 to 2"), ("not -4", 3, "0 to 2"), ("0", 0, "no hidden")])
def test_a_layer_that_the_network_lacks(text, count, has):
    """The error says which layers there are."""
    with pytest.raises(UsageError, match=f"names layer -?\\d; the network has .*{has}"):
        layers_of(text, count)


def test_protected_classes_have_one_text():
    """What is written is read, in ascending order of classes."""
    assert protect_text({7: 0.0, 3: 0.5}) == "3:0.5,7:0"
    assert protected_of("3:0.5,7:0") == ((3, 0.5), (7, 0.0))
    assert protected_of("") == ()


def test_a_task_tells_tuners_what_is_forbidden():
    """The limits of the options stand in the task; without one it says so."""
    task = digits_task()
    assert bool(constrained(task, SearchOptions()).may_join.all())
    options = SearchOptions(max_steps=7, protect="3:0.5", synapse_layers="-1", max_new_params=2, max_weight=0.5)
    told = constrained(task, options)
    assert (told.max_steps, told.protect, told.synapse_layers) == (7, ((3, 0.5),), (1,))
    assert (told.max_new_params, told.max_weight) == (2, 0.5)
    assert bool((told.may_join == (task.layer_of == 1)).all())
    assert misfit(task, options) is None
    assert "names layer 2" in misfit(task, SearchOptions(synapse_layers="2"))


def test_training_is_limited_by_the_task():
    """Five epochs of its samples and its own limit, whichever is less; a number of samples knows no limit."""
    task = constrained(digits_task(), SearchOptions(max_steps=20))
    assert limited(2000, task) == 20
    assert limited(10, task) == 10
    assert limited(2000, constrained(task, SearchOptions())) == limited(2000, len(task.y_train)) > 20
