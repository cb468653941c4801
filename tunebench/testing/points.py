"""Points of a search space that say most about a tuner: its middle and its corners."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution


def ends(distribution: BaseDistribution) -> tuple[Any, Any]:
    """Lowest and highest value, or first and last choice."""
    if isinstance(distribution, CategoricalDistribution):
        return distribution.choices[0], distribution.choices[-1]
    assert isinstance(distribution, FloatDistribution | IntDistribution)
    return distribution.low, distribution.high


def middle(space: Mapping[str, BaseDistribution]) -> dict[str, Any]:
    """The centre of ``space``, on a logarithmic axis where it has one."""
    return {name: centre(distribution) for name, distribution in space.items()}


def centre(distribution: BaseDistribution) -> Any:
    """The middle value of one distribution."""
    if isinstance(distribution, CategoricalDistribution):
        return distribution.choices[len(distribution.choices) // 2]
    assert isinstance(distribution, FloatDistribution | IntDistribution)
    low, high = distribution.low, distribution.high
    value = math.sqrt(low * high) if distribution.log else (low + high) / 2
    if distribution.step:
        value = low + round((value - low) / distribution.step) * distribution.step
    return int(value) if isinstance(distribution, IntDistribution) else value


def corners(space: Mapping[str, BaseDistribution]) -> Iterator[dict[str, Any]]:
    """The all-lowest point, the all-highest, and those with a single parameter at its highest.

    That is d + 2 of the 2**d corners for d parameters, and one empty point for an empty space.
    """
    low = {name: ends(distribution)[0] for name, distribution in space.items()}
    high = {name: ends(distribution)[1] for name, distribution in space.items()}
    points = [low, *({**low, name: value} for name, value in high.items()), high]
    yield from (point for k, point in enumerate(points) if point not in points[:k])
