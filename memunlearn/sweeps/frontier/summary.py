"""What a candidate's jobs say together: means over seeds of its readings."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from memunlearn.statistics.intervals import ANY_NUMBER, Interval, Limits
from memunlearn.statistics.seeds import SEEDS_AT_LEAST, mean_interval
from memunlearn.sweeps.frontier.hypervolume import volume_of
from memunlearn.sweeps.frontier.matched import at_disruption, at_forgetting
from memunlearn.sweeps.frontier.plan import Candidate, Plan, candidates_of
from memunlearn.sweeps.frontier.read import JobReading, Point


@dataclass(frozen=True)
class SeedMean:
    """values: by seed. interval: 95 %, Student's t over seeds; None below five, and where all are the same."""

    values: Mapping[int, float]
    mean: float
    interval: Interval | None


@dataclass(frozen=True)
class Matched:
    """A candidate's states where its runs are matched: by seed, of those runs that have one. runs: all that have ended, those
    that failed too."""

    points: Mapping[int, Point]
    runs: int

    @staticmethod
    def of(finished: Mapping[int, JobReading], runs: int, find: Callable[[Sequence[Point]], Point | None]) -> Matched:
        found = {seed: point for seed, reading in finished.items() if (point := find(reading.points)) is not None}
        return Matched(found, runs)

    @property
    def everywhere(self) -> bool:
        """Whether every run has such a state; False without runs."""
        return 0 < self.runs == len(self.points)

    def mean(self, value: Callable[[Point], float], limits: Limits = (0.0, math.inf)) -> SeedMean | None:
        return seed_mean({seed: value(point) for seed, point in self.points.items()}, limits)


@dataclass(frozen=True, kw_only=True)
class Summary:
    """readings: the candidate's jobs, by seed. hypervolume: failed jobs count as 0, unfinished ones not; None if none has
    ended. forgetting: by target, disruption: by level, as in the plan. seconds: of finished runs."""

    candidate: Candidate
    readings: tuple[JobReading, ...]
    hypervolume: SeedMean | None
    forgetting: tuple[Matched, ...]
    disruption: tuple[Matched, ...]
    seconds: SeedMean | None

    @property
    def has_ended(self) -> bool:
        """Whether none of its jobs is unfinished."""
        return all(reading.state != "unfinished" for reading in self.readings)

    def after(self, name: str, key: str) -> SeedMean | None:
        """A mean of result.json's, after the runs, over seeds: of a reported set."""
        known = {
            reading.job.seed: value
            for reading in self.readings
            if (value := (reading.after.get(name) or {}).get(key)) is not None
        }
        return seed_mean(known, (0.0, math.inf))

    def after_attack(self, name: str) -> SeedMean | None:
        """Mean over seeds of the forget EM that the worst attempt brought, in tokens. name: as in result.json's `attacks`, such
        as `relearning/half`. Of the runs in which an attempt counted; None where there is none."""
        known = {reading.job.seed: worst["em"] for reading in self.readings if (worst := reading.attacks.get(name)) is not None}
        return seed_mean(known, (0.0, math.inf))


def summaries(plan: Plan, readings: Sequence[JobReading]) -> list[Summary]:
    """Of these jobs, a summary a candidate, in the order of the plan."""
    return [
        summary(plan, [reading for reading in readings if reading.job.candidate == candidate])
        for candidate in candidates_of([reading.job for reading in readings])
    ]


def summary(plan: Plan, readings: Sequence[JobReading]) -> Summary:
    """Of one candidate's jobs, at least one."""
    finished = {reading.job.seed: reading for reading in readings if reading.state == "finished"}
    volumes = {reading.job.seed: 0.0 for reading in readings if reading.state == "failed"}
    volumes |= {
        seed: volume_of(reading.points, reading.length) if reading.length else 0.0 for seed, reading in finished.items()
    }
    return Summary(
        candidate=readings[0].job.candidate,
        readings=tuple(sorted(readings, key=lambda reading: reading.job.seed)),
        hypervolume=seed_mean(volumes, (0.0, 1.0)),
        forgetting=tuple(Matched.of(finished, len(volumes), partial(at_forgetting, target=target)) for target in plan.targets),
        disruption=tuple(Matched.of(finished, len(volumes), partial(at_disruption, most=most)) for most in plan.disruptions),
        seconds=seed_mean({seed: reading.seconds for seed, reading in finished.items() if reading.seconds is not None}),
    )


def seed_mean(values: Mapping[int, float], limits: Limits = ANY_NUMBER) -> SeedMean | None:
    """None without values. limits: what one of them can be."""
    if not values:
        return None
    ordered = {seed: values[seed] for seed in sorted(values)}
    numbers = list(ordered.values())
    if len(numbers) < SEEDS_AT_LEAST:
        return SeedMean(ordered, math.fsum(numbers) / len(numbers), None)
    return SeedMean(ordered, *mean_interval(numbers, limits))


def difference(a: SeedMean, b: SeedMean) -> SeedMean | None:
    """a - b over the seeds that both have; None if there are none."""
    return seed_mean({seed: value - b.values[seed] for seed, value in a.values.items() if seed in b.values})
