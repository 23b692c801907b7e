"""What a metric is: its name, unit and meaning, what it is computed from, and where it is shown."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

if TYPE_CHECKING:  # pages and sweeps read metrics, and need no torch
    from torch import Tensor

    from memunlearn.scoring.one_pass import OnePass

Better = Literal["lower", "higher"]


@dataclass(frozen=True)
class Unit:
    """name: as tables say it. highest: what a row's value can be at most, of C tokens (None: no limit); lowest: at least.

    whole: whether a row's values are whole numbers. scale: what a value is shown times.
    """

    name: str
    highest: Callable[[int], float] | None
    whole: bool = False
    scale: float = 1.0
    lowest: float = 0.0

    def limits(self, continuation_length: int | None) -> tuple[float, float]:
        """What a row's value can be, lowest and highest. continuation_length: None where it is not known."""
        if self.highest is None or continuation_length is None:
            return self.lowest, np.inf
        return self.lowest, self.highest(continuation_length)


TOKENS = Unit("tokens", float, whole=True)
NATS = Unit("nats per token", None)
SHARE = Unit("% of rows", lambda _: 1.0, scale=100.0)


@dataclass(frozen=True)
class FromPass:
    """compute: the one pass -> [B], a value a row."""

    compute: Callable[[OnePass], Tensor]


@dataclass(frozen=True)
class FromPassAndBase:
    """compute: the one pass, with the base model's logits -> [B]. itself: what it is for the base model, by definition."""

    compute: Callable[[OnePass], Tensor]
    itself: float


@dataclass(frozen=True)
class FromPassAndSampling:
    """compute: the one pass, with a scheme that tokens are drawn by -> [B]; of rows only, never a mean."""

    compute: Callable[[OnePass], Tensor]


@dataclass(frozen=True)
class FromTextSize:
    """compute: the NLL of each token [N, C], and the bytes of each continuation's text, compressed [N] -> [N]."""

    compute: Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class FromText:
    """compute: what the model says [N, C], decoded, and the true continuation [N, C] -> [N]."""

    compute: Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class OfOwnText:
    """`of`, a metric of the pass, on the base model's own continuations in place of the true ones.

    itself: of C tokens, what it is for the base model, by definition.
    """

    of: Metric
    itself: Callable[[int], int]


@dataclass(frozen=True)
class OfAlternatives:
    """`of`, a metric of the pass, on an edit's alternatives given the original prefixes, over the rows that have one."""

    of: Metric


@dataclass(frozen=True)
class ShareOfRows:
    """The share of rows that are hits. hit: values [N] of the metric `of`, and C -> [N] bool."""

    of: Metric
    hit: Callable[[Tensor, int], Tensor]


@dataclass(frozen=True)
class Percentile:
    """The q-th percentile over rows of the metric `of`: see `percentile`."""

    of: Metric
    q: float


@dataclass(frozen=True)
class OfMean:
    """A rising function of the mean over rows of the metric `of`: its interval is that of the mean, through the same."""

    of: Metric
    function: Callable[[float], float]


Source = (
    FromPass
    | FromPassAndBase
    | FromPassAndSampling
    | FromTextSize
    | FromText
    | OfOwnText
    | OfAlternatives
    | ShareOfRows
    | Percentile
    | OfMean
)
OF_A_SET = ShareOfRows | Percentile | OfMean
"""Of a set only: no row has a value."""


@dataclass(frozen=True, kw_only=True)
class Metric:
    """One metric.

    key: in result.json, in the parquet files' columns and in loggers. label: in tables. digits: decimals of a mean.
    definition: a sentence for the docs. source: what it is computed from, which decides when it is computed at all.
    forgotten, kept: which way is better on text that is to be forgotten, and on text that is to stay; None: neither.
    checked: sets of which the stop rule's checks give it, of forget, retain_val (the only one that is compared with the base
    model then) and bystander_val. swept: sets of which a sweep's tables give it after the runs.
    in_terminal: it has a column in the printed tables, which 80 columns limit. in_rows: it has a column in paragraphs.parquet.
    detail: it is measured only of sets that are reported, not at checks, and pages show it under "more measures".
    """

    key: str
    label: str
    unit: Unit
    digits: int
    definition: str
    source: Source
    forgotten: Better | None = None
    kept: Better | None = None
    checked: tuple[str, ...] = ()
    swept: tuple[str, ...] = ()
    in_terminal: bool = False
    in_rows: bool = True
    detail: bool = False

    @property
    def columns(self) -> tuple[str, ...]:
        """Of paragraphs.parquet, the last one after training: none where there is no value of a row."""
        if not self.in_rows or isinstance(self.source, OF_A_SET):
            return ()
        if isinstance(self.source, FromPass | FromPassAndSampling | FromTextSize | FromText):
            return f"{self.key}_before", f"{self.key}_after"
        return (self.key,)

    def label_of(self, set_name: str) -> str:
        """`forget EM`, `alternative EM`: where the set is not said beside it."""
        return f"alternative {self.source.of.label}" if isinstance(self.source, OfAlternatives) else f"{set_name} {self.label}"

    def check_name(self, set_name: str) -> str:
        """`forget_em`: what it is called in a check of the stop rule; alternatives are those of the forget set."""
        return self.key if isinstance(self.source, OfAlternatives) else f"{set_name}_{self.key}"

    @property
    def row_digits(self) -> int:
        """Decimals of a single row's value: one fewer than a mean's."""
        return max(0, self.digits - 1)


def percentile(values: Tensor, q: float) -> float:
    """Of values [N], N > 0: linear between the two rows around it (numpy's default), so the highest row alone only for one
    row, and as many of 20 rows as of 1,000 decide what it is."""
    return float(np.percentile(values.numpy(), q))
