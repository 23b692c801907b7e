"""One look at the model while it is trained, as means for the stop rule and as each paragraph's scores."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from torch import Tensor

from memunlearn.scoring.metric import Metric, OfAlternatives, Percentile, percentile
from memunlearn.scoring.metrics import METRICS
from memunlearn.scoring.score import ParagraphScores


@dataclass(frozen=True, kw_only=True)
class Check:
    """One look at the model while it is trained: what the stop rule reads, by name, and whatever else is checked.

    EM and runs in tokens, KL in nats per token; None for an empty set.
    alternative_em: mean EM of the alternatives given the original prefixes, over the rows that have one; None unless editing.
    forget_longest_common_run: mean longest common run of the forget rows' continuations with what the model says, decoded; None
    unless editing, and where the rest of the rule does not hold yet, so that it need not be known.
    others: the means of all other metrics that are checked, by `Metric.check_name`.
    """

    step: int
    forget_em: float
    forget_em_p95: float
    forget_longest_run: float
    retain_val_kl: float
    bystander_val_em: float | None
    alternative_em: float | None = None
    forget_longest_common_run: float | None = None
    others: Mapping[str, float | None] = dataclasses.field(default_factory=dict)

    def numbers(self) -> dict[str, Any]:
        """Everything by its name, flat: what result.json and loggers get."""
        known = asdict(self)
        others: dict[str, Any] = known.pop("others")
        return known | others

    def with_numbers(self, numbers: Mapping[str, float | None]) -> Check:
        """The same with these numbers in place."""
        return _check(self.numbers() | dict(numbers))


@dataclass(frozen=True)
class CheckedScores:
    """Each paragraph's scores at one check; sets: by name the values [N] of each metric of the pass (for retain_val also of
    those that compare with the base model, for forget also of those of text where it was decoded). Plain tensors, so that a
    checkpoint can hold them."""

    step: int
    sets: Mapping[str, Mapping[str, Tensor]]


def check_of(step: int, scores: Mapping[str, ParagraphScores], alternatives: ParagraphScores | None) -> Check:
    """The means of what is checked of each set. alternatives: None unless editing."""
    numbers: dict[str, Any] = {"step": step}
    for metric in METRICS:
        for name in metric.checked:
            rows = alternatives if isinstance(metric.source, OfAlternatives) else scores[name]
            numbers[metric.check_name(name)] = None if rows is None else _mean(metric, rows)
    return _check(numbers)


def _check(numbers: Mapping[str, Any]) -> Check:
    known = {field.name for field in fields(Check)} - {"others"}
    others = {name: value for name, value in numbers.items() if name not in known}
    return Check(**{name: numbers[name] for name in known if name in numbers}, others=others)


def _mean(metric: Metric, scores: ParagraphScores) -> float | None:
    """None where there are no rows, or where it does not come from the pass."""
    of = metric.source.of if isinstance(metric.source, Percentile | OfAlternatives) else metric
    values = scores.values.get(of.key)
    if values is None or not len(values):
        return None
    if isinstance(metric.source, Percentile):
        return percentile(values, metric.source.q)
    return float(values.double().mean())
