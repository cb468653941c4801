"""What ``run --dry-run`` promises and what the run then takes, on an idle machine; and how much of it latency is."""

from __future__ import annotations

import re
import subprocess
import sys
import time

import pytest
from references import note

DIGITS = ("-d", "digits", "--target", "8", "--seeds", "2")
GRIDS = {
    "digits": ("-d", "digits", "-m", "model1", "--target", "8", "--seeds", "2"),
    "mnist": ("-d", "mnist", "-m", "model1", "-t", "s*", "--target", "5", "--seeds", "1", "--trials", "8"),
    "convolutional": (
        *DIGITS,
        "-m",
        "shufflenet_v2_x0_5",
        "-t",
        "refit",
        "-t",
        "s*-exact",
        "-t",
        "*w*",
        "--trials",
        "4",
    ),
    "pruned": (*DIGITS, "-m", "lenet+prune:0.9", "--trials", "8"),
    "integers": (*DIGITS, "-m", "lenet+int8", "--trials", "8"),
}
FACTOR = 1.5


@pytest.mark.parametrize("name", GRIDS)
def test_an_estimate_is_right(benchmark, tmp_path, monkeypatch, name):
    """Within a factor of 1.5 before anything ran here, and again once it did."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    command = [sys.executable, "-m", "tunebench", "run", *GRIDS[name], "-q"]

    def estimate(*more):
        said = subprocess.run([*command, *more, "--dry-run"], check=True, capture_output=True, text=True).stdout
        number, unit = re.search(r"about ([\d.]+) (s|min)", said).groups()
        return float(number) * (60 if unit == "min" else 1)

    def run(out):
        start = time.perf_counter()
        subprocess.run([*command, "-o", tmp_path / out], check=True, capture_output=True)
        return time.perf_counter() - start

    first, seconds = estimate(), run("first")
    second, again = estimate("--no-cache"), run("second")
    ratios = first / seconds, second / again
    benchmark.extra_info.update(seconds=seconds, ratios=ratios)
    benchmark.pedantic(lambda: None)
    assert all(1 / FACTOR <= ratio <= FACTOR for ratio in ratios), ratios


LATENCY = 0.15


def test_latency_stage(benchmark, tmp_path, monkeypatch):
    """Measuring latency takes at most 15 % of the digits run: what the finished run takes longer without the flag."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    command = [sys.executable, "-m", "tunebench", "run", "-q", "-o", tmp_path / "out"]

    def seconds(*more):
        start = time.perf_counter()
        subprocess.run([*command, *more], check=True, capture_output=True)
        return time.perf_counter() - start

    cells, again, whole = seconds("--no-latency"), seconds("--no-latency"), seconds()
    share = (whole - again) / (cells + whole - again)
    note(benchmark, "the latency stage of the digits run", "the whole run", share, LATENCY)
    benchmark.pedantic(lambda: None)
    assert share <= LATENCY
