"""What the figures of a run show, as plain numbers: the same for the files (matplotlib) and for the page (plotly)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from memunlearn.charts.colours import BLUE, GREEN, GREY, ORANGE, POINTS_AT_MOST, PURPLE, SKY, VERMILLION
from memunlearn.results.tables import set_names

SET_COLOURS = {"forget": VERMILLION, "bystander": BLUE, "near": PURPLE, "retain": GREEN}


@dataclass(frozen=True)
class Series:
    """One line of the training curve: the key that it is read from, and how it is drawn."""

    key: str
    label: str
    colour: str
    marker: str
    line: str


TOKEN_SERIES = (
    Series("check/forget_em", "forget EM", VERMILLION, "o", "-"),
    Series("check/forget_longest_run", "forget longest run", PURPLE, "^", "--"),
    Series("check/forget_longest_common_run", "forget longest common run", SKY, "P", "--"),
    Series("check/alternative_em", "alternative EM", ORANGE, "v", ":"),
    Series("check/bystander_val_em", "bystander_val EM", BLUE, "s", "-."),
)
KL_SERIES = Series("check/retain_val_kl", "retain_val KL", GREEN, "D", "-")


def curve_points(curve: Sequence[Mapping[str, float]], key: str) -> list[tuple[float, float]]:
    """(step, value) of every row that holds a finite value."""
    held = [(row["step"], row[key]) for row in curve if row.get("step") is not None and row.get(key) is not None]
    return [(step, value) for step, value in held if math.isfinite(value)]


def short(value: float | None) -> float | None:
    """Six digits are more than a screen shows. None where it is not a finite number."""
    return None if value is None or not math.isfinite(value) else float(f"{value:.6g}")


@dataclass(frozen=True)
class SetPoints:
    """The rows of one set that are drawn: `rows` is how many it has, the lists [n <= POINTS_AT_MOST] are in step."""

    name: str
    rows: int
    index: list[int]
    em: tuple[list[float], list[float]]
    nll: tuple[list[float], list[float]]

    @property
    def label(self) -> str:
        """The name and how many rows there are and, where they are fewer, are drawn."""
        drawn = "" if len(self.index) == self.rows else f", {len(self.index):,} drawn"
        return f"{self.name}\n({self.rows:,} rows{drawn})"

    @property
    def colour(self) -> str:
        return SET_COLOURS.get(self.name, GREY)


def set_points(paragraphs: Sequence[Mapping[str, Any]]) -> list[SetPoints]:
    """EM (tokens) and NLL (nats per token) before and after, by set in the order of the tables; large sets thinned evenly.

    paragraphs: dicts with `set`, `index`, `em_before`, `em_after`, `nll_before`, `nll_after`; rows that lack one, or hold a
    number that is not finite, are left out.
    """
    keys = ("em_before", "em_after", "nll_before", "nll_after")
    by_set: dict[str, list[Mapping[str, Any]]] = {}
    for row in paragraphs:
        if all(row.get(key) is not None and math.isfinite(row[key]) for key in keys):
            by_set.setdefault(row["set"], []).append(row)
    points = []
    for name in set_names(dict.fromkeys(by_set)):
        rows = by_set[name]
        count = min(len(rows), POINTS_AT_MOST)
        drawn = [rows[i * len(rows) // count] for i in range(count)]
        em_before, em_after, nll_before, nll_after = ([row[key] for row in drawn] for key in keys)
        index = [row["index"] for row in drawn]
        points.append(SetPoints(name, len(rows), index, (em_before, em_after), (nll_before, nll_after)))
    return points


@dataclass(frozen=True)
class MaskGrid:
    """Chosen weights by layer and kind of component. counts, sizes: a list per layer with a number per kind.

    sizes: how many weights there are in all (0: the model has no such component); None where the run did not say.
    """

    kinds: list[str]
    layers: list[str]
    counts: list[list[int]]
    sizes: list[list[int]] | None

    @property
    def shares(self) -> list[list[float | None]] | None:
        """Percent of each component's weights that were chosen."""
        if self.sizes is None:
            return None
        pairs = zip(self.counts, self.sizes, strict=True)
        return [[100 * c / s if s else None for c, s in zip(*pair, strict=True)] for pair in pairs]


def mask_grid(mask: Mapping[str, Any] | None) -> MaskGrid | None:
    """From `mask` of `result.json`, whose counts are named `<layer>.<kind>`; None where there are none."""
    counts = (mask or {}).get("per_component") or {}
    sizes = (mask or {}).get("size_per_component")
    if not counts:
        return None
    kinds = list(dict.fromkeys(name.rpartition(".")[2] for name in counts))
    layers = sorted({name.rpartition(".")[0] for name in counts}, key=lambda layer: (not layer.isdigit(), layer.zfill(8)))

    def grid(numbers: Mapping[str, int]) -> list[list[int]]:
        return [[numbers.get(f"{layer}.{kind}" if layer else kind, 0) for kind in kinds] for layer in layers]

    return MaskGrid(kinds, [layer or "-" for layer in layers], grid(counts), None if sizes is None else grid(sizes))
