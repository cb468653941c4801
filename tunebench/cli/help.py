"""What stands at the end of every command's help: examples, and what its exit codes mean."""

from __future__ import annotations

import click

EXAMPLES: dict[str, tuple[str, ...]] = {
    "cache": ("tunebench cache size",),
    "certify": (
        "tunebench certify --model net.py:Net --original net.pt --tuned tuned.safetensors --data DIR",
        "tunebench certify --model net.py:Net --original net.pt --tuned OUT/candidates --data DIR",
        "tunebench certify --original a.pt2 --tuned b.pt2 --unlabelled DIR --ask labels.csv",
        "tunebench certify --original a.pt2 --tuned b.pt2 --unlabelled DIR --answers labels.csv",
    ),
    "check": (
        "tunebench check my_tuner.py",
        "tunebench check -m lenet.py:LeNet -d mnist",
        "tunebench check --submission OUT",
    ),
    "explain": ("tunebench explain TA", "tunebench explain over_budget", "tunebench explain --budget"),
    "gate": ("tunebench gate OUT --baseline leaderboards/digits --fail-if ta:-0.5pt",),
    "leaderboard": (
        "tunebench leaderboard OUT",
        "tunebench leaderboard OUT --format html -o page.html",
        "tunebench leaderboard OUT --plots plots",
    ),
    "list": ("tunebench list tuners", "tunebench list --json"),
    "merge": ("tunebench merge part-1 part-2 -o whole",),
    "new": ("tunebench new my-tuner",),
    "paper": ("tunebench paper -d mnist --seeds 3 -o paper",),
    "tune": (
        "tunebench tune --model net.py:Net --weights net.safetensors --data DIR --target cat",
        "tunebench tune --model torchvision:resnet18 --weights w.pt --data DIR --target 3 --export onnx",
    ),
    "run": (
        "tunebench run",
        "tunebench run -d mnist -m model1 -t 'sj*' --target weakest --data-dir DATA",
        "tunebench run suite.toml -o OUT --dry-run",
    ),
}
"""Command lines that a reader can start from, by command."""

MEANINGS = {
    0: "done",
    1: "some cells or checks failed, or nothing could be certified",
    2: "wrong usage or input",
    3: "something got worse or has vanished",
    4: "nothing was measured, the baseline lacks a row, or the two runs follow different protocols",
    130: "interrupted",
    143: "terminated",
}
CODES: dict[str, tuple[int, ...]] = {
    "certify": (0, 1, 2, 130, 143),
    "check": (0, 1, 2, 130, 143),
    "gate": (0, 2, 3, 4, 130, 143),
    "paper": (0, 1, 2, 130, 143),
    "run": (0, 1, 2, 130, 143),
}
"""Exit codes of commands that have more than `USUAL`."""
USUAL = (0, 2, 130, 143)


def epilog(command: str) -> str:
    """Examples and exit codes of ``command``, for the end of its help."""
    examples = EXAMPLES.get(command, ())
    shown = "Examples:\n\n\b\n" + "\n".join(f"  {line}" for line in examples) + "\n\n" if examples else ""
    codes = ", ".join(f"{code} {MEANINGS[code]}" for code in CODES.get(command, USUAL))
    return f"{shown}Exit codes: {codes}."


def completed(name: str, command: click.Command) -> click.Command:
    """``command`` with its epilog, where it brings none of its own."""
    command.epilog = command.epilog or epilog(name)
    return command
