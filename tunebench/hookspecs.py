"""The hooks that a plugin can implement (pluggy); each returns an iterable, possibly empty."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import pluggy

if TYPE_CHECKING:
    from tunebench.compression import Compression
    from tunebench.datasets import DatasetSource
    from tunebench.networks.models import ModelSpec
    from tunebench.tuner import Tuner

NAMESPACE = "tunebench"
hookspec = pluggy.HookspecMarker(NAMESPACE)
hookimpl = pluggy.HookimplMarker(NAMESPACE)


class TargetClassTuner:
    """Methods that raise the accuracy of a target class."""

    @hookspec
    def tunebench_tuners(self) -> Iterable[Tuner]:  # type: ignore[empty-body]
        """Return the plugin's tuners.

        .. versionadded:: 0.1
        """


class DatasetHooks:
    """Data sets beside the bundled ones."""

    @hookspec
    def tunebench_datasets(self) -> Iterable[DatasetSource]:  # type: ignore[empty-body]
        """Return the plugin's data sets; their names become values of ``-d``.

        .. versionadded:: 0.1
        """


class ModelHooks:
    """Networks beside the bundled ones."""

    @hookspec
    def tunebench_models(self) -> Iterable[ModelSpec]:  # type: ignore[empty-body]
        """Return the plugin's networks; their names become values of ``-m``.

        .. versionadded:: 0.1
        """


class CompressionHooks:
    """Ways to make a trained network smaller."""

    @hookspec
    def tunebench_compressions(self) -> Iterable[Compression]:  # type: ignore[empty-body]
        """Return the plugin's compressions; a network is compressed by ``-m MODEL+NAME`` or ``-m MODEL+NAME:VALUE``.

        .. versionadded:: 0.1
        """


NAMESPACES = (TargetClassTuner, DatasetHooks, ModelHooks, CompressionHooks)
"""Every group of hooks."""
