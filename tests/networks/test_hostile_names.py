"""Names of compressed networks, ``MODEL+NAME:VALUE``, of anyone's suites: refused before anything runs."""

from __future__ import annotations

import pytest
from conftest import run_command

NAMES = {
    "not a number": ("mlp:8+prune:nan", "give a share above 0"),
    "infinity": ("mlp:8+prune:inf", "give a share above 0"),
    "beyond every number": ("mlp:8+prune:1e400", "give a share above 0"),
    "below every number": ("mlp:8+nas:1e-400", "give a share above 0"),
    "below nothing": ("mlp:8+prune:-0.5", "give a share above 0"),
    "hexadecimal": ("mlp:8+prune:0x1p-1", "give a share above 0"),
    "digits of another script": ("mlp:8+prune:\u0660.\u0665", "give a share above 0"),
    "a blank": ("mlp:8+prune: 0.5", "give a share above 0"),
    "an underscore": ("mlp:8+prune:0.5_5", "give a share above 0"),
    "two points": ("mlp:8+lowrank:0.0.5", "give a share above 0"),
    "no value": ("mlp:8+prune:", "give a share above 0"),
    "a value that goes on": ("mlp:8+prune:0.5+", "give a share above 0"),
    "a value where there is none": ("mlp:8+binary:0.5", "takes no value"),
    "no compression": ("mlp:8+", "write the hidden widths"),
    "a plus alone": ("+", "unknown model '+'"),
    "a compression alone": ("+prune", "unknown model '+prune'"),
    "two pluses": ("mlp:8++prune:0.5", "write the hidden widths"),
    "a compression that there is not": ("mlp:8+ghost", "unknown compression 'ghost'"),
    "a network that there is not": ("ghost+prune:0.5", "unknown model 'ghost'"),
    "something behind the name": ("mlp:8+prune;rm:0.5", "write the hidden widths"),
    "a student that leads out": ("lenet+distill:../../x", "unknown model '../../x'"),
    "a student by its path": ("mlp:8+distill:/etc/passwd", "unknown model '/etc/passwd'"),
    "a student in a file that is gone": ("mlp:8+distill:x.py:Net", "No such file"),
    "a student too large": ("mlp:8+distill:mlp:99999999999", "more than 100,000,000 parameters"),
    "an escape": ("mlp:8+prune:0.5\x1b[2J", "control characters"),
    "an escape in a student": ("mlp:8+distill:\x1b[2J", "control characters"),
    "the end of a line": ("mlp:8+prune:0.5\n", "not a text as it should be"),
    "a mark of direction": ("mlp:8+\u202eprune:0.5", "control characters"),
    "half a character": ("mlp:8+prune:0.5\udce9", "control characters"),
    "a value of 100,000 digits": ("mlp:8+prune:0." + "5" * 100_000, "at most 1,000 characters"),
    "three thousand compressions": ("mlp:8" + "+prune:0.5" * 3000, "at most 1,000 characters"),
}
"""The name, and what the error says."""


@pytest.mark.parametrize("case", NAMES)
def test_a_name_of_a_stranger(tmp_path, case):
    """One line, exit code 2, nothing written, whether it is typed or stands in a suite."""
    name, told = NAMES[case]
    suite = tmp_path / "suite.toml"
    quoted = "".join(f"\\U{ord(sign):08x}" if not 0xD800 <= ord(sign) < 0xE000 else "?" for sign in name)
    suite.write_text(f'models = ["{quoted}"]\ntuners = ["original"]\nseeds = 1\n', "utf-8")
    runs = [("-d", "digits", "-m", name, "-t", "original")] + [(suite,)] * ("?" not in quoted)
    for args in runs:
        done = run_command("run", *args, "-o", tmp_path / "out")
        assert (done.code, done.out, done.err.count("\n")) == (2, "", 1), done.err
        assert told in done.err
        assert len(done.err) < 500
        assert done.err.removesuffix("\n").isprintable()
        assert not (tmp_path / "out").exists()
