"""Statistics of leaderboards: intervals, pairwise tests and tie groups of a block, rank tests across blocks.

numpy only at import; scipy is loaded when a test is run.
"""

from tunebench.boards.statistics.classical import (
    MIN_BLOCKS,
    RankTest,
    area,
    holm,
    mcnemar,
    paired_t,
    rank_test,
    signed_rank,
    tie_groups,
)
from tunebench.boards.statistics.crossed import Bootstrap, Interval, Pairwise, bootstrap, interval, pairwise
from tunebench.boards.statistics.pairs import only_first
from tunebench.boards.statistics.planned import Planned, planned

__all__ = [
    "MIN_BLOCKS",
    "Bootstrap",
    "Interval",
    "Pairwise",
    "Planned",
    "RankTest",
    "area",
    "bootstrap",
    "holm",
    "interval",
    "mcnemar",
    "only_first",
    "paired_t",
    "pairwise",
    "planned",
    "rank_test",
    "signed_rank",
    "tie_groups",
]
