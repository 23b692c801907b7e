"""One run read at matched forgetting, and at matched disruption."""

from __future__ import annotations

from collections.abc import Sequence

from memunlearn.sweeps.frontier.plan import Target
from memunlearn.sweeps.frontier.read import Point


def at_forgetting(points: Sequence[Point], target: Target) -> Point | None:
    """The first state that is forgotten as the target says, where a run with this target would have ended; None if there is
    none. points: by step."""
    return next((point for point in points if is_forgotten(point, target)), None)


def at_disruption(points: Sequence[Point], most: float) -> Point | None:
    """The state with the lowest forget EM among those with a retain KL of at most this (nats per token), of equal ones that
    with the lowest KL; None if there is none."""
    kept = [point for point in points if point.retain_kl <= most]
    return min(kept, key=lambda point: (point.forget_em, point.retain_kl), default=None)


def is_forgotten(point: Point, target: Target) -> bool:
    return point.forget_em <= target.forget_em and point.longest_run <= target.longest_run
