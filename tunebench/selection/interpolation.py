"""The interpolated variant: between the original and the best trials, each with the exact best bias on top.

It nests `shifted`, and so `plain`: what these chose is a candidate here too, and the larger family is chosen from on
validation. What it costs is bounded, whatever the tuner: for each trial that a selector remembers, a forward of
validation per share. Every multiple of a scalable edit has been a candidate before: there nothing is left to do.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace

from torch import nn

from tunebench.errors import InvalidOutput
from tunebench.networks.between import between, same_architecture
from tunebench.selection.outputs import Outputs
from tunebench.selection.selector import Candidate, Selector
from tunebench.selection.variants import offer_shifted
from tunebench.tuner import LogitEdit

SHARES = (0.25, 0.5, 0.75, 1.25, 1.5)
"""How far from the original to the tuned network; 0 and 1 are candidates anyway."""


def interpolated(selectors: Sequence[Selector], outputs: Outputs) -> None:
    """Offer every selector what lies between the original and the trials that lead there, once all are over.

    ``outputs`` are what all of them look at: what several want is made and run once.
    """
    mine = [{candidate.trial: candidate for _, candidate in selector.leading} for selector in selectors]
    for selector in selectors:
        for candidate in tuple(selector.chosen["shifted"].values()):
            selector.offer("interpolated", candidate)
    wanted = {trial: candidate for kept in mine for trial, candidate in kept.items()}
    for (trial, candidate), share in itertools.product(wanted.items(), SHARES):
        model, tuned = outputs.task.model, candidate.output
        if isinstance(tuned, nn.Module) and not same_architecture(model, tuned):
            continue
        output = between(model, tuned, share)
        for selector, kept in zip(selectors, mine, strict=True):
            if trial in kept:
                offer(selector, candidate, output, share)


def offer(selector: Selector, tuned: Candidate, output: nn.Module | LogitEdit, share: float) -> None:
    """Offer what lies ``share`` of the way to ``tuned``; nothing where its logits are no numbers.

    Beyond the tuned network a variance, say, may be negative. That is no fault of the tuner's.
    """
    try:
        score = selector.score(selector.view.logits(output))
    except InvalidOutput:
        return
    candidate = replace(tuned, output=output, score=score, shift=0.0, share=share)
    offer_shifted(selector, "interpolated", candidate, selector.margins(output))
