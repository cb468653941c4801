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
from tunebench.boards.statistics.crossed import (
    Bootstrap,
    Interval,
    Pairwise,
    all_pairs,
    bootstrap,
    differences,
    interval,
    pairwise,
)
from tunebench.boards.statistics.pairs import Differences, only_first
from tunebench.boards.statistics.planned import Planned, contrasts_among, planned

__all__ = [
    "MIN_BLOCKS",
    "Bootstrap",
    "Differences",
    "Interval",
    "Pairwise",
    "Planned",
    "RankTest",
    "all_pairs",
    "area",
    "bootstrap",
    "contrasts_among",
    "differences",
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
