"""The tables of a frontier: the same cells for its page and for its text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from memunlearn.paragraphs.near_parts import NEAR_FORGOTTEN, NEAR_OTHER
from memunlearn.scoring.metrics import EM, EM_P95, LONGEST_RUN
from memunlearn.scoring.metrics import KL as KL_METRIC
from memunlearn.sweeps.frontier.choose import best_of_methods, ranked
from memunlearn.sweeps.frontier.plan import Plan
from memunlearn.sweeps.frontier.summary import Matched, SeedMean, Summary
from memunlearn.sweeps.frontier.tell import STEPS, VOLUME, Reading, forgetting, side_effects
from memunlearn.sweeps.quantities import Quantity
from memunlearn.words import counted, duration

REPORTED = (
    ("forget", EM),
    ("forget", EM_P95),
    ("forget", LONGEST_RUN),
    ("retain", KL_METRIC),
    ("bystander", EM),
    (NEAR_FORGOTTEN, EM),
    (NEAR_OTHER, EM),
)

# As in result.json's `attacks`, and what the attack did.
SURVIVED = (
    ("relearning/half", "after relearning half of the clusters"),
    ("relearning/prefixes", "after training on prefixes"),
    ("relearning/unrelated", "after training on unrelated text"),
    ("quantization/int8", "rounded to 8 bits"),
    ("quantization/int4", "rounded to 4 bits"),
    ("quantization/nf4", "rounded to 4 bits (NF4)"),
)


@dataclass(frozen=True)
class Cell:
    """text: the number. small: its interval, or how many of the runs it is of; may be empty."""

    text: str
    small: str = ""


@dataclass(frozen=True, kw_only=True)
class Table:
    """header: cells of the first line, each with its unit in small. rows: a name and its cells. marked: rows that are best."""

    title: str
    how: str
    header: tuple[Cell, ...]
    rows: tuple[tuple[str, tuple[Cell, ...]], ...]
    marked: tuple[int, ...] = ()


def matched_table(title: str, how: str, plan: Plan, summaries: Sequence[Summary], *, length: float, mark_best: bool) -> Table:
    """Every candidate at matched forgetting and at matched disruption, the largest hypervolume first; those of which no job
    has ended last. mark_best: mark the best of each method."""
    order = ranked(summaries)
    order += [summary for summary in summaries if summary not in order]
    best = [summary.candidate for summary in best_of_methods(summaries)]
    header = [Cell("seeds"), Cell("hypervolume")]
    for target in plan.targets:
        header += [Cell(quantity.label, f"at {target.short}{_unit(quantity)}") for quantity in (STEPS, *_sides(length))]
    header += [Cell("forget EM", f"at KL {most:g}, tokens") for most in plan.disruptions]
    header.append(Cell("time", "a run"))
    return Table(
        title=title,
        how=how,
        header=tuple(header),
        rows=tuple((summary.candidate.label, _row(summary, length)) for summary in order),
        marked=tuple(place for place, summary in enumerate(order) if mark_best and summary.candidate in best),
    )


def reported_table(title: str, how: str, summaries: Sequence[Summary]) -> Table:
    """What the runs report at their end, on sets that nothing was chosen by."""
    header = [Cell("seeds"), *(Cell(f"{name} {metric.label}", metric.unit.name) for name, metric in REPORTED)]
    order = ranked(summaries)
    rows = []
    for summary in order:
        cells = [_seeds(summary)]
        for name, metric in REPORTED:
            quantity = Quantity(metric.label, metric.unit.name, max(metric.digits, 1))
            cells.append(_mean(quantity, summary.after(name, metric.key)))
        rows.append((summary.candidate.label, tuple(cells)))
    return Table(title=title, how=how, header=tuple(header), rows=tuple(rows))


def survival_table(title: str, how: str, summaries: Sequence[Summary]) -> Table | None:
    """Forget EM after the runs, and after the worst attempts to get the text back; None where no run was attacked so."""
    tried = [(name, label) for name, label in SURVIVED if any(name in r.attacks for s in summaries for r in s.readings)]
    if not tried:
        return None
    quantity = Quantity(EM.label, EM.unit.name, max(EM.digits, 1))
    rows = []
    for summary in ranked(summaries):
        cells = [_seeds(summary), _mean(quantity, summary.after("forget", EM.key))]
        rows.append((summary.candidate.label, (*cells, *(_survived(quantity, summary, name) for name, _ in tried))))
    header = [Cell("seeds"), Cell("forget EM", EM.unit.name), *(Cell("forget EM", label) for _, label in tried)]
    return Table(title=title, how=how, header=tuple(header), rows=tuple(rows))


def _survived(quantity: Quantity, summary: Summary, name: str) -> Cell:
    found, runs = summary.after_attack(name), [reading for reading in summary.readings if name in reading.attacks]
    cell = _mean(quantity, found)
    counting = 0 if found is None else len(found.values)
    return cell if counting == len(runs) else Cell(cell.text, f"counts in {counting} of {counted(len(runs), 'run')}")


def _row(summary: Summary, length: float) -> tuple[Cell, ...]:
    cells = [_seeds(summary), _mean(VOLUME, summary.hypervolume)]
    steps = Reading(STEPS, -1, lambda point: point.step, (0.0, float("inf")))
    for at in summary.forgetting:
        cells += [_matched(reading, at) for reading in (steps, *side_effects(length))]
    cells += [_matched(forgetting(length), at) for at in summary.disruption]
    return (*cells, Cell("-" if summary.seconds is None else duration(summary.seconds.mean)))


def _seeds(summary: Summary) -> Cell:
    states = [reading.state for reading in summary.readings]
    lost = [f"{number} {state}" for state in ("failed", "unfinished") if (number := states.count(state))]
    return Cell(str(states.count("finished")), ", ".join(lost))


def _matched(reading: Reading, at: Matched) -> Cell:
    cell = _mean(reading.quantity, at.mean(reading.value, reading.limits))
    return cell if at.everywhere or not at.runs else Cell(cell.text, f"{len(at.points)} of {counted(at.runs, 'run')}")


def _mean(quantity: Quantity, found: SeedMean | None) -> Cell:
    if found is None:
        return Cell("-")
    return Cell(quantity.text(found.mean), "" if found.interval is None else quantity.to(found.interval))


def _sides(length: float) -> list[Quantity]:
    return [reading.quantity for reading in side_effects(length)]


def _unit(quantity: Quantity) -> str:
    return f", {quantity.unit}" if quantity.unit else ""
