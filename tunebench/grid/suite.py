"""What to run: a suite file, overridden by flags, checked before anything is done."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from importlib import resources
from pathlib import Path
from typing import Any

from tunebench.errors import UsageError
from tunebench.naming import cut, one_line, unknown_name
from tunebench.networks.spec import RECIPES
from tunebench.results.records import check_suite
from tunebench.results.shapes import Damaged
from tunebench.selection.constraints import ALL_LAYERS, LIMITS, check_limits
from tunebench.tuner import MAX_STEPS

PROTOCOLS = ("holdout", "paper")
OWN = "own"
"""The protocol of `tunebench tune`: the network is trained already, and its owner's samples are validation. Nobody can
ask for it in a suite, because the figures of such a board are measured where they were selected.
"""
MARGINS = ("none", "1se")
MOST_SEEDS, MOST_TRIALS = 10**4, 10**6
LARGEST_SUITE = 2**20
"""Bytes of a suite file."""
LONGEST = 366 * 24 * 3600.0
"""Seconds of a timeout."""


@dataclass(frozen=True)
class Suite:
    """A grid and the rules it is run by; field names are the keys of a suite.toml."""

    name: str = "suite"
    datasets: tuple[str, ...] = ("digits",)
    models: tuple[str, ...] = ("model1",)
    tuners: tuple[str, ...] = ("*",)
    """Names or globs."""
    targets: tuple[str, ...] = ("weakest",)
    """``weakest``, ``weakest:N``, ``all``, a class, or classes joined by ``+``."""
    seeds: int = 3
    trials: int = 30
    budget: float = 0.2
    """Percentage points of OA on the selection split."""
    recall: float | None = None
    """The least TA, a fraction, that the tables ask for instead of a budget."""
    confidence: float = 0.9
    """Of the certified variant."""
    protocol: str = "holdout"
    recipe: str | None = None
    margin: str = "none"
    max_hidden: int = 1024
    """Hidden units of a network that tuners see, counted from the output back."""
    max_steps: int = MAX_STEPS
    """Training steps that a trial may take."""
    protect: tuple[str, ...] = ()
    """Classes that may not lose recall on the selection split, or at most so many points: ``CLASS`` or ``CLASS:PP``."""
    synapse_layers: str = ALL_LAYERS
    """Hidden layers that may receive synapses, counted from 0, or from the last by -1: ``0,1``, ``-1``, ``not 0``."""
    max_new_params: int | None = None
    """Non-zero parameters that a tuned network may have more than its original."""
    max_weight: float | None = None
    """Largest size of a new weight."""
    timeout: str = "10m"
    """Of one cell: a number with the unit s, m or h."""

    def __post_init__(self) -> None:
        check(self)


TYPES = {
    **dict.fromkeys(("seeds", "trials", "max_hidden", "max_steps", "max_new_params"), int),
    **dict.fromkeys(("budget", "recall", "confidence", "max_weight"), float),
}
"""Of keys that are no text."""
NEEDED = frozenset({"datasets", "models", "tuners", "targets"})
LISTS = NEEDED | {"protect"}


def load_suite(path: Path | None, overrides: Mapping[str, Any]) -> Suite:
    """The suite of ``path`` (the embedded one for None) with ``overrides``, where None means not given.

    Without a file, naming a data set or model starts from the defaults of `Suite`, so that ``-d mnist`` alone does
    not inherit the embedded suite's budget or recipe.
    """
    given = {name: value for name, value in overrides.items() if value not in (None, ())}
    if given.get("protocol") == OWN:
        raise unknown_name("protocol", OWN, PROTOCOLS)
    if path is None:
        fresh = {"datasets", "models"} & given.keys()
        if fresh:
            defaults = Suite(name=re.sub(r"[:/*?\[\]]", "-", "-".join(given.get("datasets", ("digits",))))[:60])
            if given.get("datasets", ("digits",)) == ("digits",):
                defaults = replace(parse_suite(embedded_text(), "the embedded suite"), name="digits")
            return replace(defaults, **given)
        text, source = embedded_text(), "the embedded suite"
    else:
        try:
            with path.open("rb") as file:
                raw = file.read(LARGEST_SUITE + 1)  # a device has no size, and no end
            if len(raw) > LARGEST_SUITE:
                raise UsageError(f"{path} is larger than {LARGEST_SUITE // 2**20} MiB; that is no suite")
            text, source = raw.decode("utf-8-sig"), str(path)
        except (OSError, UnicodeDecodeError) as exc:
            raise UsageError(f"cannot read the suite {path}: {getattr(exc, 'strerror', None) or exc}") from exc
    return replace(parse_suite(text, source), **given)


def embedded_text() -> str:
    """The suite that is part of the package."""
    return resources.files("tunebench").joinpath("embedded.toml").read_text(encoding="utf-8")


def parse_suite(text: str, source: str) -> Suite:
    """Parse a suite.toml; UsageError for bad TOML, an unknown key or a wrong type."""
    try:
        table = tomllib.loads(text)
    except (ValueError, RecursionError) as exc:  # of numbers beyond all bounds, and brackets without an end
        raise UsageError(f"{source}: not valid TOML: {one_line(cut(str(exc), 200))}") from exc
    known = {field.name: field for field in fields(Suite)}
    values: dict[str, Any] = {}
    for key, value in table.items():
        if key not in known:
            raise UsageError(f"{source}: {unknown_name('key', key, known)}")
        if key in LISTS:
            if isinstance(value, str | int):
                value = [value]
            if not isinstance(value, list) or not all(isinstance(item, str | int) for item in value):
                raise UsageError(f"{source}: {key} has to be a list of names")
            values[key] = tuple(str(item) for item in value)
            continue
        expected = TYPES.get(key, str)
        if expected is float and type(value) is int:
            value = float(value)
        if type(value) is not expected:
            raise UsageError(f"{source}: {key} has to be {expected.__name__}, not {value!r}")
        values[key] = value
    if values.get("protocol") == OWN:
        raise UsageError(f"{source}: {unknown_name('protocol', OWN, PROTOCOLS)}")
    return Suite(**values)


def check(suite: Suite) -> None:
    """UsageError for a value out of range."""
    if suite.name in ("", "..") or suite.name != Path(suite.name).name:
        raise UsageError(f"name is {suite.name!r}; it names the run folder, so give one part of a path")
    if not 1 <= suite.seeds <= MOST_SEEDS:
        raise UsageError(f"seeds is {suite.seeds}; give at least 1 and at most {MOST_SEEDS:,}")
    if suite.max_hidden < 1:
        raise UsageError(f"max_hidden is {suite.max_hidden}; give at least 1")
    if not 2 <= suite.trials <= MOST_TRIALS:
        raise UsageError(
            f"trials is {suite.trials}; give at least 2 and at most {MOST_TRIALS:,} (trial 0 is the unchanged original)"
        )
    check_demand(suite.budget, suite.recall, suite.confidence)
    for kind, value, known in (
        ("protocol", suite.protocol, (*PROTOCOLS, OWN)),
        ("recipe", suite.recipe, (None, *RECIPES)),
        ("margin", suite.margin, MARGINS),
    ):
        if value not in known:
            raise unknown_name(kind, str(value), [str(k) for k in known if k])
    check_limits({name: getattr(suite, name) for name in LIMITS})
    for key in sorted(NEEDED):
        if not getattr(suite, key):
            raise UsageError(f"{key} is empty; name at least one")
    seconds_of(suite.timeout)
    try:  # whatever else the lock of the run could not hold
        check_suite(json.loads(json.dumps(asdict(suite))))
    except Damaged as exc:
        raise UsageError(f"{exc}; names are printable UTF-8 of at most 1,000 characters") from exc


def check_demand(budget: float, recall: float | None, confidence: float) -> None:
    """UsageError for what no choice can keep: a budget or a floor out of range, a confidence that is none."""
    if not 0 <= budget <= 100:
        raise UsageError(f"budget is {budget:g}; give percentage points of OA between 0 and 100")
    if recall is not None and not 0 < recall < 1:
        raise UsageError(f"recall is {recall}; give the least TA as a share between 0 and 1, such as 0.95")
    if not 0.5 < confidence < 1:
        raise UsageError(f"confidence is {confidence}; give a share above 0.5 and below 1, such as 0.9")


def seconds_of(text: str) -> float:
    """Seconds of a duration such as ``90s``, ``10m``, ``2h`` or a bare number of seconds."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smh]?)", text.strip())
    seconds = float(match[1]) * {"": 1, "s": 1, "m": 60, "h": 3600}[match[2]] if match else 0
    if not 0 < seconds <= LONGEST:
        raise UsageError(f"{cut(text, 40)!r} is not a duration; write 90s, 10m or 2h")
    return seconds
