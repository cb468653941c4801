"""The stage before the cells, all of it in workers: networks are built and looked at, originals trained.

A network that cannot be built or trained costs its own cells. One that is no classifier of the data is refused.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

from pebble import ProcessExpired

from tunebench.errors import Inapplicable, StoreError, TunebenchError
from tunebench.grid.observer import Observer
from tunebench.grid.outcomes import RETRIES, was_lost
from tunebench.grid.provenance import settle
from tunebench.grid.suite import seconds_of
from tunebench.naming import said
from tunebench.networks import originals
from tunebench.networks.architecture import architecture_of
from tunebench.networks.compressed import network_of
from tunebench.networks.models import ModelSpec
from tunebench.networks.originals import OriginalKey
from tunebench.networks.probe import built
from tunebench.plugins import load_registry
from tunebench.source import PluginFile
from tunebench.workers import isolation
from tunebench.workers.engines import Engine, in_flight, result_of

if TYPE_CHECKING:
    from tunebench.grid.plan import Plan, RunOptions


@dataclass(frozen=True)
class Origin:
    """Where a worker finds a network: its name, and of the plugins only those that offer it."""

    model: str
    plugins: tuple[PluginFile, ...]
    owners: tuple[str, ...]
    file: PluginFile | None

    def spec(self) -> ModelSpec:
        """The network, in this process."""
        registry = load_registry(self.plugins, only=self.owners)
        return network_of(self.model, registry, self.file)


class Absent(NamedTuple):
    """Why there is no original: the status of its cells, and the reason."""

    status: str
    reason: str


class Seen(NamedTuple):
    """What looking at a network gave: what keys say of it, or why it cannot be built."""

    architecture: str
    failure: str | None = None


def look_at(work: tuple[tuple[str, str], Origin, tuple[int, ...], int]) -> Seen:
    """Worker's side of `architectures`; UsageError for a network that is no classifier of such inputs."""
    isolation.silence()
    settle()
    _, origin, shape, classes = work
    try:
        spec = origin.spec()
        model = spec.build(shape, classes)
    except TunebenchError:
        raise
    except BaseException as exc:
        return Seen("", f"it cannot be built: {said(exc)}")
    return Seen(architecture_of(spec, built(replace(spec, build=lambda *_: model), shape, classes)))


def architectures(plan: Plan, engine: Engine, observer: Observer, options: RunOptions) -> None:
    """Fill in what the keys of ``plan`` say of networks that are not bundled, or why they cannot be built."""
    work = [
        ((dataset.name, spec.name), origin_of(plan, spec, options), dataset.shape, dataset.classes)
        for dataset in plan.datasets.values()
        for spec in plan.models.values()
        if spec.code is not None
    ]
    for (place, *_), seen, failure in attempted(engine, look_at, work, seconds_of(plan.suite.timeout)):
        why = f"it cannot be built: {failure}" if failure else seen.failure
        plan.architectures[place] = seen.architecture if why is None else "none"
        if why is not None:
            plan.unbuilt[place] = why
            observer.warn(f"{' '.join(place)}: {why}")


def train_originals(
    plan: Plan, engine: Engine, observer: Observer, options: RunOptions
) -> dict[OriginalKey, dict[str, Any]]:
    """Train what is not cached, side by side; returns the record of every original that there is.

    ``plan.failures`` says why the others are not there.
    """
    for dataset in plan.datasets.values():
        originals.materialise(dataset)
    keys = list(plan.originals())
    places = {key: (key.dataset, key.model) for key in keys}
    plan.failures |= {key: Absent("error", plan.unbuilt[p]) for key, p in places.items() if p in plan.unbuilt}
    missing = [key for key in keys if key not in plan.failures and originals.fault_of(key)]
    if missing:
        observer.stage("originals", len(missing))
    lines = [1 + i % engine.workers if observer.interactive else None for i in range(len(missing))]
    origins = {name: origin_of(plan, spec, options) for name, spec in plan.models.items()}
    work = [(key, origins[key.model], line, options.device) for key, line in zip(missing, lines, strict=True)]
    for (key, *_), absent, failure in attempted(engine, train_one, work, None):
        absent = Absent("error", f"its original cannot be trained: {failure}") if failure else absent
        if absent is not None:
            plan.failures[key] = absent
            observer.warn(f"{key.dataset} {key.model} seed {key.seed}: {absent.reason}")
        observer.step(f"{key.dataset} {key.model} seed {key.seed}")
    records = {key: originals.original_record(key) for key in keys if key not in plan.failures}
    for key, record in records.items():
        for note in record.get("notes", ()):
            observer.warn(f"{key.dataset} {key.model} seed {key.seed}: {note}")
    return records


def train_one(work: tuple[OriginalKey, Origin, int | None, str]) -> Absent | None:
    """Worker's side of `train_originals`; the last items are the terminal line of its progress bar and the device.

    Returns why the original cannot be trained, or None.
    """
    key, origin, line, device = work
    settle()
    if line is None:
        isolation.silence()
    try:
        originals.ensure_original(key, origin.spec(), line=line, device=device)
    except StoreError:  # of this machine, not of the network
        raise
    except Inapplicable as exc:
        return Absent("skipped", str(exc))
    except BaseException as exc:
        isolation.limit_memory(None)  # telling what happened needs some
        return Absent("error", f"its original cannot be trained: {said(exc)}")
    return None


def origin_of(plan: Plan, spec: ModelSpec, options: RunOptions) -> Origin:
    """Where workers find a network of ``plan``."""
    return Origin(spec.name, options.plugins, spec.owners, spec.file)


def attempted(
    engine: Engine, function: Callable[[Any], Any], work: Iterable[Any], timeout: float | None
) -> Iterator[tuple[Any, Any, str | None]]:
    """Run ``function`` on all ``work``; yields each piece with its result, and with why there is none.

    A worker that was lost is replaced twice. Errors of ours, which no other network would survive, are raised,
    and so is what the machine lacks.
    """
    todo = deque(work)
    lost: Counter[Any] = Counter()
    for piece, future in in_flight(engine, function, lambda: todo.popleft() if todo else None, timeout):
        result, failure = None, None
        try:
            result = result_of(future)
        except TimeoutError:
            failure = f"no result after {timeout:g} s"
        except (TunebenchError, ProcessExpired) as exc:
            if was_lost(exc) and lost[piece] < RETRIES:
                lost[piece] += 1
                todo.append(piece)
                continue
            if isinstance(exc, TunebenchError):
                raise
            failure = isolation.how_it_ended(exc.exitcode)
        except Exception as exc:
            failure = said(exc)
        yield piece, result, failure
