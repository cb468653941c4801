"""A newcomer's path: every command of docs/plugins.md and docs/ci.md, typed in a fresh environment made from wheels."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
import venv
from pathlib import Path

import pytest
import torch
from pages import steps

ROOT = Path(__file__).parents[2]
MINUTES = 5
PIP = {"PIP_NO_INDEX": "1", "PIP_NO_DEPS": "1", "PIP_NO_BUILD_ISOLATION": "0", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
"""Nothing is fetched: what a reader's pip would get from an index is there already."""


@pytest.fixture(scope="module")
def wheels(tmp_path_factory) -> Path:
    """Wheels of this checkout and of the example package, built from copies so that no build folder is left behind."""
    work = tmp_path_factory.mktemp("wheels")
    ignored = shutil.ignore_patterns("__pycache__", "*.egg-info", "build")
    for name in ("tunebench", "plugins"):
        shutil.copytree(ROOT / name, work / "source" / name, ignore=ignored)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, work / "source")
    shutil.copytree(ROOT / "docs" / "example_plugin", work / "example", ignore=ignored)
    for source in ("source", "example"):
        pip = [sys.executable, "-m", "pip", "wheel", "-q", "-w", str(work / "dist"), str(work / source)]
        subprocess.run(pip, check=True, env={**os.environ, **PIP})
    return work / "dist"


def fresh_environment(folder: Path, wheels: list[Path]) -> dict[str, str]:
    """A virtual environment with these wheels; third-party libraries, torch above all, are seen through a .pth file."""
    venv.create(folder, with_pip=True)
    python = folder / "bin" / "python"
    env = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    env |= {**PIP, "PATH": f"{folder / 'bin'}{os.pathsep}{env['PATH']}", "XDG_CACHE_HOME": str(folder / "cache")}
    # Older Pythons put an old setuptools into every environment; the parent's is to build the packages.
    subprocess.run([python, "-m", "pip", "uninstall", "-q", "-y", "setuptools"], check=True, env=env)
    site = subprocess.check_output([python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"], text=True)
    # A plain path: nothing in it is processed, so the editable tunebench of the parent environment stays invisible.
    Path(site.strip(), "parent.pth").write_text(f"{Path(torch.__file__).parents[1]}\n")
    script = folder / "bin" / "pytest"
    script.write_text(f"#!{python}\nimport pytest\n\nraise SystemExit(pytest.console_main())\n")
    script.chmod(0o755)
    subprocess.run([python, "-m", "pip", "install", "-q", "--force-reinstall", *map(str, wheels)], check=True, env=env)
    return env


@pytest.fixture(scope="module")
def environment(wheels, tmp_path_factory) -> dict[str, str]:
    """An environment with tunebench alone; the example package is not in it."""
    return fresh_environment(tmp_path_factory.mktemp("newcomer") / "env", [*wheels.glob("tunebench-*.whl")])


def test_example_package_is_found_through_its_entry_point(wheels, tmp_path):
    """Installed from a wheel into a fresh environment, the example's tuner is listed, and both come from there."""
    env = fresh_environment(tmp_path / "env", [*wheels.glob("*.whl")])
    listed = subprocess.check_output(["tunebench", "list", "--json"], env=env, cwd=tmp_path, text=True)
    assert "mean-difference" in json.loads(listed)["tuners"]
    assert json.loads(listed)["plugins"]["mean-difference"] == "ok"
    code = "import tunebench, mean_difference; print(tunebench.__file__, mean_difference.__file__)"
    places = subprocess.check_output(["python", "-c", code], env=env, cwd=tmp_path, text=True)
    assert places.count(str(tmp_path / "env")) == 2


def test_newcomers_path(environment, tmp_path):
    """File, package, check, run, installation, tests, baseline and gate: all succeed, in five minutes altogether."""
    start = time.monotonic()
    taken: list[tuple[float, str]] = []
    for page in ("plugins.md", "ci.md"):
        for step in steps(page):
            if step.path:
                (tmp_path / step.path).write_text(step.text)
            elif step.kind == "sh":
                for line in step.text.splitlines():
                    begun = time.monotonic()
                    done = subprocess.run(
                        line, shell=True, cwd=tmp_path, env=environment, capture_output=True, text=True
                    )
                    taken.append((time.monotonic() - begun, line))
                    assert done.returncode == 0, f"{line}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    total = time.monotonic() - start
    print(*(f"{seconds:6.1f} s  {line}" for seconds, line in taken), f"{total:6.1f} s  in all", sep="\n")
    rows = json.loads((tmp_path / "package-run" / "leaderboard.json").read_text())["rows"]
    assert [row["status"] for row in rows if row["tuner"] == "mean-difference"] == ["ok"]
    assert total < MINUTES * 60
