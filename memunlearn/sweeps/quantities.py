"""What a sweep shows of its runs: a metric of a set, or a number of steps, with the decimals that it deserves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from memunlearn.paragraphs.retain_text import SUSPECTED
from memunlearn.results.tables import SET_ORDER
from memunlearn.scoring.metric import FromText, Metric, OfAlternatives
from memunlearn.scoring.metrics import EM, KL, METRICS
from memunlearn.words import fixed, signed, signed_to, to


@dataclass(frozen=True)
class Quantity:
    """Its name, unit and decimals."""

    label: str
    unit: str
    digits: int

    def text(self, value: float) -> str:
        return fixed(value, self.digits)

    def signed(self, value: float) -> str:
        """A difference: `+0.25`."""
        return signed(value, self.digits)

    def to(self, interval: tuple[float, float]) -> str:
        """`2.10 to 4.05`."""
        return to(interval, self.digits)

    def signed_to(self, interval: tuple[float, float]) -> str:
        """A difference's interval: `-3.10 to +0.25`."""
        return signed_to(interval, self.digits)


@dataclass(frozen=True)
class Column:
    """A metric of a set in the tables."""

    metric: Metric
    set: str

    @property
    def quantity(self) -> Quantity:
        return Quantity(self.metric.label_of(self.set), self.metric.unit.name, max(2, self.metric.digits))

    @property
    def is_optional(self) -> bool:
        """Whether it is left out where no run has it: nothing was decoded, or edited, or nobody asked for it then."""
        return self.set == SUSPECTED or self.metric.detail or isinstance(self.metric.source, FromText | OfAlternatives)

    def value_after(self, row: Mapping[str, Any]) -> float | None:
        """Of a row of paragraphs.parquet, after the run, in the unit of tables; None where there is none."""
        if row["set"] != self.set or not self.metric.columns:
            return None
        return self._shown(row.get(self.metric.columns[-1]))

    def mean_after(self, result: Mapping[str, Any]) -> float | None:
        """Of result.json, after the run, in the unit of tables; None where it was not measured."""
        return self._shown((result["after"].get(self.set) or {}).get(self.metric.key))

    def _shown(self, value: float | None) -> float | None:
        return None if value is None else value * self.metric.unit.scale


def columns() -> list[Column]:
    """Of the tables, set by set; alternatives last."""
    swept = [Column(metric, name) for name in (*SET_ORDER, SUSPECTED) for metric in METRICS if name in metric.swept]
    return sorted(swept, key=lambda column: isinstance(column.metric.source, OfAlternatives))


OF_FORGET, OF_BYSTANDER, OF_RETAIN = Column(EM, "forget"), Column(EM, "bystander"), Column(KL, "retain")
MAIN_COLUMNS = (OF_FORGET, OF_BYSTANDER, OF_RETAIN)
"""Whether it forgot, and the side effects: what is compared, and shown of each run."""
FORGET_EM, BYSTANDER_EM, RETAIN_KL = (column.quantity for column in MAIN_COLUMNS)
BYSTANDER_VAL_EM, RETAIN_VAL_KL = Column(EM, "bystander_val").quantity, Column(KL, "retain_val").quantity
STEPS = Quantity("the number of steps", "steps", 1)
KEPT_STEP = Quantity("the kept step", "steps", 1)
