"""How much of the cube of forgetting and side effects a run's states dominate."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from memunlearn.sweeps.frontier.read import Point

WORST_KL = 0.5
"""Nats per token: more does not count as worse."""
Triple = tuple[float, float, float]


def volume_of(points: Sequence[Point], length: int) -> float:
    """0 to 1: the volume that the points (forget EM / C, 1 - bystander EM / C, min(retain KL, .5) / .5), of which lower is
    better, dominate up to (1, 1, 1).

    points: all states of a run, each of which could be the one that is kept. length: C.
    """
    return hypervolume([place(point, length) for point in points])


def place(point: Point, length: int) -> Triple:
    return (point.forget_em / length, 1 - point.bystander_em / length, min(point.retain_kl, WORST_KL) / WORST_KL)


def hypervolume(points: Sequence[Triple], reference: Triple = (1.0, 1.0, 1.0)) -> float:
    """The exact volume of the union of the boxes from each point up to the reference, all three coordinates to be minimized.

    Zitzler and Thiele 1998 (the "size of the space covered"): slices along the third coordinate, each the area of a staircase.
    """
    inside = [point for point in points if all(at < end for at, end in zip(point, reference, strict=True))]
    edges = [*sorted({point[2] for point in inside}), reference[2]]
    slices = (
        (above - below) * _area([point[:2] for point in inside if point[2] <= below], reference[:2])
        for below, above in pairwise(edges)
    )
    return sum(slices, 0.0)


def _area(points: Sequence[tuple[float, float]], reference: tuple[float, float]) -> float:
    area, lowest = 0.0, reference[1]
    for x, y in sorted(points):
        if y < lowest:
            area += (reference[0] - x) * (lowest - y)
            lowest = y
    return area
