"""Numbers of a finding as parts of a sentence: nothing is claimed that the interval does not bear out."""

from __future__ import annotations

from collections.abc import Sequence

from memunlearn.statistics.intervals import FEWEST_CLUSTERS, too_few_clusters
from memunlearn.statistics.two_groups import Comparison

TOO_FEW = (
    f"too few clusters for an interval (fewer than {FEWEST_CLUSTERS}, or all of them the same), so chance is not ruled out"
)
SIGNIFICANT = 0.05


def direction(comparison: Comparison, above: str, below: str, level: str = "no clear difference") -> str:
    """`above` or `below` if the interval excludes 0 and p, where there is one, is below 0.05; else `level`.

    Where there is no interval, that it cannot be told.
    """
    if comparison.value is None:
        return "there is nothing to compare"
    if comparison.low is None or comparison.high is None:
        return TOO_FEW
    if comparison.p_value is not None and comparison.p_value >= SIGNIFICANT:
        return level
    if comparison.low > 0:
        return above
    return below if comparison.high < 0 else level


def linked(
    value: float | None, p_values: Sequence[float | None], above: str, below: str, level: str, *, clusters: int | None
) -> str:
    """`above` or `below`, by the sign of a correlation with frequency, if every p-value is below 0.05; else `level`.

    Where a p-value is not there, or the clusters (None: another rule has seen to them) are too few, that it cannot be told.
    """
    if value is None:
        return "there is nothing to compare"
    if any(one is None for one in p_values) or (clusters is not None and too_few_clusters(clusters)):
        return TOO_FEW
    if any(one is None or not one < SIGNIFICANT for one in p_values) or value == 0:
        return level
    return above if value > 0 else below
