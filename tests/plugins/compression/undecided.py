"""A network that no graph can hold, in a file of its own, as a user would give it to a run."""

import torch


class Undecided(torch.nn.Module):
    """What it computes depends on its input, in a way that no graph can say."""

    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(64, 10)

    def forward(self, x):
        """Once or twice."""
        logits = self.layer(x.flatten(1))
        return logits if float(logits.sum()) > 0 else logits * 2
