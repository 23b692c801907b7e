"""What the sweep's figures show, whoever draws them: one path a run, the distributions per setting, the main differences."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from memunlearn.paragraphs.retain_text import SUSPECTED
from memunlearn.results.tables import SET_ORDER
from memunlearn.sweeps.checks import CheckMeans, checks_of
from memunlearn.sweeps.comparisons import END, ComparedSettings
from memunlearn.sweeps.differences import Difference
from memunlearn.sweeps.quantities import BYSTANDER_EM, FORGET_EM, RETAIN_KL, Quantity
from memunlearn.sweeps.settings import Setting, seed_name

MAIN = (FORGET_EM, BYSTANDER_EM, RETAIN_KL)


@dataclass(frozen=True)
class Path:
    """A run's checks with a forget EM, in order of steps. place: of its setting among all."""

    setting: str
    place: int
    seed: str
    checks: tuple[CheckMeans, ...]


@dataclass(frozen=True)
class Distribution:
    """EM and self-EM (tokens) after the runs of one setting in one set, pooled over seeds."""

    setting: str
    em: tuple[float, ...]
    self_em: tuple[float, ...]


@dataclass(frozen=True)
class DifferenceRow:
    """One comparison in one quantity: the seeds' own differences, their mean and its interval, if it has one."""

    label: str
    points: tuple[float, ...]
    mean: float
    interval: tuple[float, float] | None


def paths(settings: Sequence[Setting]) -> list[Path]:
    found = []
    for place, setting in enumerate(settings):
        for run in setting.runs:
            checks = tuple(check for check in checks_of(run) if check.forget_em is not None)
            if checks:
                found.append(Path(setting.label, place, seed_name(run), checks))
    return found


def distributions(settings: Sequence[Setting]) -> dict[str, list[Distribution]]:
    """By set, those without rows left out."""
    found: dict[str, list[Distribution]] = {}
    for name in (*SET_ORDER, SUSPECTED):
        for setting in settings:
            rows = [row for run in setting.runs for row in run.paragraphs if row["set"] == name]
            em = [row["em_after"] for row in rows if row.get("em_after") is not None]
            own = [row["self_em"] for row in rows if row.get("self_em") is not None]
            if em:
                found.setdefault(name, []).append(Distribution(setting.label, tuple(em), tuple(own)))
    return found


def main_differences(comparisons: Sequence[ComparedSettings]) -> list[tuple[Quantity, list[DifferenceRow]]]:
    """Forget EM, bystander EM and retain KL of the kept states, a row a comparison, in one order for all."""
    found = []
    for quantity in MAIN:
        rows = []
        for comparison in comparisons:
            for one in comparison.differences:
                if one.moment == END and one.quantity == quantity:
                    rows.append(_row(comparison, one))
        if rows:
            found.append((quantity, rows))
    return found


def _row(comparison: ComparedSettings, one: Difference) -> DifferenceRow:
    label = comparison.short + (f" ({comparison.held})" if comparison.held else "")
    return DifferenceRow(label, tuple(pair.a - pair.b for pair in one.pairs), one.mean, one.interval)
