"""Who wins where, in sentences, each with its interval over seeds."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from memunlearn.statistics.intervals import Limits
from memunlearn.statistics.seeds import SEEDS_AT_LEAST
from memunlearn.sweeps.frontier.choose import ranked
from memunlearn.sweeps.frontier.plan import Plan
from memunlearn.sweeps.frontier.read import Point
from memunlearn.sweeps.frontier.summary import Matched, SeedMean, Summary, difference
from memunlearn.sweeps.quantities import Quantity
from memunlearn.words import counted, listed

VOLUME = Quantity("hypervolume", "", 3)
KL = Quantity("retain KL", "nats per token", 3)
BYSTANDER = Quantity("bystander EM", "tokens", 1)
FORGET = Quantity("forget EM", "tokens", 1)
STEPS = Quantity("steps", "", 0)


@dataclass(frozen=True)
class Reading:
    """A number of one state. better: 1 where more of it is better, -1 where less is. limits: what it can be."""

    quantity: Quantity
    better: int
    value: Callable[[Point], float]
    limits: Limits


def side_effects(length: float) -> tuple[Reading, Reading]:
    """What forgetting costs, as read at matched forgetting. length: C."""
    return (
        Reading(KL, -1, lambda point: point.retain_kl, (0.0, math.inf)),
        Reading(BYSTANDER, 1, lambda point: point.bystander_em, (0.0, length)),
    )


def forgetting(length: float) -> Reading:
    """As read at matched disruption."""
    return Reading(FORGET, -1, lambda point: point.forget_em, (0.0, length))


def headline(summaries: Sequence[Summary], references: Sequence[str] = ()) -> str:
    """Which candidate dominates most, and by how much more than the next one and than each reference."""
    means = {summary.candidate.label: summary.hypervolume for summary in ranked(summaries) if summary.hypervolume is not None}
    if not means:
        return "No job has ended yet."
    return _winner(VOLUME, 1, means, "Over all levels of forgetting and side effects", references)


def sentences(plan: Plan, summaries: Sequence[Summary], length: float) -> list[str]:
    """One for each place where candidates are matched, and each quantity read there."""
    said = []
    for place, target in enumerate(plan.targets):
        matched = {summary.candidate.label: summary.forgetting[place] for summary in summaries}
        said += [_where(reading, matched, f"At {target.text}", plan.references) for reading in side_effects(length)]
    for place, most in enumerate(plan.disruptions):
        matched = {summary.candidate.label: summary.disruption[place] for summary in summaries}
        said.append(_where(forgetting(length), matched, f"At a retain KL of at most {most:g}", plan.references))
    return list(dict.fromkeys(said))  # where nothing gets there, no quantity is told apart


def mean_in_words(quantity: Quantity, found: SeedMean) -> str:
    """`0.061 nats per token (95 % interval 0.055 to 0.067)`."""
    said = f"{quantity.text(found.mean)} {quantity.unit}".strip()
    return said if found.interval is None else f"{said} (95 % interval {quantity.to(found.interval)})"


def _where(reading: Reading, candidates: Mapping[str, Matched], place: str, references: Sequence[str]) -> str:
    everywhere = {
        name: mean
        for name, at in candidates.items()
        if at.everywhere and (mean := at.mean(reading.value, reading.limits)) is not None
    }
    if everywhere:
        there = _winner(reading.quantity, reading.better, everywhere, place, references).removesuffix(".")
        return (
            "; ".join([there, *(_rarely(name, candidates[name]) for name in references if _misses(candidates.get(name)))]) + "."
        )
    some = [_rarely(name, at) for name, at in candidates.items() if at.points]
    return f"{place}, nothing gets there with every seed" + (f" ({'; '.join(some)})." if some else ".")


def _misses(at: Matched | None) -> bool:
    return at is not None and len(at.points) < at.runs


def _rarely(name: str, at: Matched) -> str:
    return f"{name} gets there with {len(at.points)} of {counted(at.runs, 'seed')}"


def _winner(quantity: Quantity, better: int, candidates: Mapping[str, SeedMean], place: str, references: Sequence[str]) -> str:
    """candidates: at least one."""
    first, *others = sorted(candidates, key=lambda name: -better * candidates[name].mean)
    same = [name for name in others if candidates[name].values == candidates[first].values]
    others = [name for name in others if name not in same]
    extreme = "highest" if better > 0 else "lowest"
    has = f"{listed([first, *same])} have the same" if same else f"{first} has the"
    has = has if same and not others else f"{has}, {extreme}" if same else f"{has} {extreme}"
    said = f"{place}, {has} {quantity.label}: {mean_in_words(quantity, candidates[first])}"
    rivals = [name for name in others if name == others[0] or name in references]
    return "; ".join([said, *(_versus(quantity, candidates[first], candidates[name], name) for name in rivals)]) + "."


def _versus(quantity: Quantity, best: SeedMean, rival: SeedMean, name: str) -> str:
    """They are compared seed by seed, and said to differ only where an interval bears it out."""
    said, apart = f"{name} has {mean_in_words(quantity, rival)}", difference(best, rival)
    if apart is None:
        return f"{said}, on other seeds"
    if len(apart.values) < SEEDS_AT_LEAST:
        return f"{said} (fewer than {SEEDS_AT_LEAST} seeds: no interval)"
    if apart.interval is None:
        return f"{said}, the same difference with every seed"
    interval = quantity.signed_to(apart.interval)
    if apart.interval[0] <= 0 <= apart.interval[1]:
        return f"{said}, which cannot be told apart (95 % interval of the difference {interval})"
    return f"{said} (difference {quantity.signed(apart.mean)}, 95 % interval {interval})"
