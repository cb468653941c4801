"""The wheel mismatch, reproduced with stand-in torchvision packages in a fresh interpreter."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

NEEDS_OPERATORS = """
import torch
for name in ("nms", "qnms"):
    torch.library.register_fake(f"torchvision::{name}")(lambda dets, scores, iou_threshold: dets)
"""
HEALTHY = """
import torch
extension = torch.library.Library("torchvision", "DEF")
for name in ("nms", "qnms"):
    extension.define(name + "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
"""
PACKAGES = {
    "mismatched": NEEDS_OPERATORS,
    "healthy": HEALTHY,
    "broken": "raise RuntimeError('broken otherwise')",
}
SCENARIOS = """
import json, os, sys
import torch
from tunebench.datasets import torchvision_compat

def attempt(load):
    try:
        assert load() is sys.modules["torchvision"]
    except RuntimeError as error:
        return str(error)
    return [hasattr(torch.ops.torchvision, "nms"), len(torchvision_compat._libraries)]

loaders = {"plain": lambda: __import__("torchvision"), "ours": torchvision_compat.import_torchvision}
for folder in sys.argv[1:]:
    for how, load in loaders.items():
        child = os.fork()  # torch takes seconds to import, and attempts must not see each other
        if not child:
            sys.path.insert(0, folder)
            print(json.dumps([os.path.basename(folder), how, attempt(load)]), flush=True)
            os._exit(0)
        os.waitpid(child, 0)
"""


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory) -> dict[tuple[str, str], object]:
    """Outcomes by package and way of importing: an error's text, or [nms exists, declarations made]."""
    root = tmp_path_factory.mktemp("packages")
    for name, package in PACKAGES.items():
        folder = root / name / "torchvision"
        folder.mkdir(parents=True)
        (folder / "part.py").touch()
        (folder / "__init__.py").write_text("from torchvision import part\n" + package)
    command = [sys.executable, "-c", SCENARIOS, *(str(root / name) for name in PACKAGES)]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=120, cwd=Path(__file__).parents[2], check=True
    )
    return {(name, how): outcome for name, how, outcome in map(json.loads, done.stdout.splitlines())}


def test_the_mismatch_fails_without_the_workaround(outcomes):
    """The stand-in fails on plain import with the very message of the mismatched wheel."""
    assert outcomes["mismatched", "plain"] == "operator torchvision::nms does not exist"


def test_missing_operators_are_declared(outcomes):
    """The mismatched stand-in imports after one declaration."""
    assert outcomes["mismatched", "ours"] == [True, 1]


def test_a_healthy_build_is_left_alone(outcomes):
    """Where the package declares its own operators, nothing is declared on top."""
    assert outcomes["healthy", "ours"] == [True, 0]


def test_other_failures_pass_through(outcomes):
    """An import that fails for another reason keeps its own error."""
    assert outcomes["broken", "ours"] == "broken otherwise"


def test_the_installed_torchvision_imports():
    """The torchvision installed here loads, with its data sets."""
    from tunebench.datasets.torchvision_compat import import_torchvision

    assert import_torchvision().datasets.MNIST.__name__ == "MNIST"
