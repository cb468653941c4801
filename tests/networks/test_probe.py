"""What is no classifier for the data is told in one line before anything is trained."""

import sys
from pathlib import Path

import pytest
from torch import nn

from tunebench import UsageError
from tunebench.networks.models import ModelSpec
from tunebench.networks.probe import built, check_classifier

sys.path.append(str(Path(__file__).parents[1] / "testing"))
import broken_networks as broken


def untrainable(shape, classes):
    """A builder with a fault of its own."""
    raise KeyError("width")


@pytest.mark.parametrize(
    ("build", "said"),
    [
        (broken.ReturnsADict, "returns a dict; let forward() return one tensor of logits (N, 10)"),
        (broken.ReturnsATuple, "returns a tuple; let forward()"),
        (broken.ElevenClasses, "returns (2, 11) for two samples of 10 classes; it needs logits (N, 10)"),
        (broken.TwoInputs, "forward() has to take one tensor alone"),
        (broken.GivesNan, "gives NaN or infinite logits"),
        (broken.ColoursOnly, "needs 3 input channels, these are grey images with 1"),
        (broken.LargeImagesOnly, "does not take inputs of 1 x 8 x 8: RuntimeError"),
        (lambda shape, classes: nn.Embedding(10, 10), "does not take inputs of 1 x 8 x 8"),
        (lambda shape, classes: "net", "build() returned str; return a torch.nn.Module"),
        (untrainable, "cannot be built for inputs of 1 x 8 x 8: KeyError: 'width'"),
    ],
)
def test_no_classifier(build, said):
    """Each fault has its own words, in one line that names the network."""
    with pytest.raises(UsageError) as caught:
        built(ModelSpec("mine", build), (1, 8, 8), 10)
    text = str(caught.value)
    assert said in text
    assert text.startswith("network 'mine'")
    assert "\n" not in text


def test_a_classifier_is_left_as_it_was():
    """The mode of a sound network stays, and nothing is said."""
    model = broken.Sound().train()
    check_classifier(model, "mine", (1, 8, 8), 10)
    assert model.training
