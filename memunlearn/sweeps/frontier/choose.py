"""Which candidates go on to the next round."""

from __future__ import annotations

import math
from collections.abc import Sequence

from memunlearn.sweeps.frontier.summary import Summary


def ranked(summaries: Sequence[Summary]) -> list[Summary]:
    """The largest mean hypervolume first; of equal ones (to six decimals) the lowest retain KL where most is forgotten, then by
    name. Those of which no job has ended are left out."""
    return sorted((summary for summary in summaries if summary.hypervolume is not None), key=_rank)


def best_of_methods(summaries: Sequence[Summary], count: int | None = None) -> list[Summary]:
    """The best candidate of each method, the best method first; at most so many, and none that has dominated nothing."""
    best: dict[str, Summary] = {}
    for summary in ranked(summaries):
        if summary.hypervolume is not None and summary.hypervolume.mean > 0:
            best.setdefault(summary.candidate.method, summary)
    return list(best.values())[:count]


def _rank(summary: Summary) -> tuple[float, float, str]:
    assert summary.hypervolume is not None
    costs = [cost.mean for matched in summary.forgetting if (cost := matched.mean(lambda point: point.retain_kl))]
    return (-round(summary.hypervolume.mean, 6), costs[-1] if costs else math.inf, summary.candidate.label)
