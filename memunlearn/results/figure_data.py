"""What the figures of a run show, as plain numbers."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from memunlearn.results.tables import set_names


def curve_points(curve: Sequence[Mapping[str, float]], key: str) -> list[tuple[float, float]]:
    """(step, value) of every row that holds a finite value."""
    held = [(row["step"], row[key]) for row in curve if row.get("step") is not None and row.get(key) is not None]
    return [(step, value) for step, value in held if math.isfinite(value)]


@dataclass(frozen=True)
class SetRows:
    """The rows of one set, the lists [n] in step; em (tokens) and nll (nats per token): before and after."""

    name: str
    index: list[int]
    em: tuple[list[float], list[float]]
    nll: tuple[list[float], list[float]]

    def names(self, moment: str) -> list[str]:
        """[n] `forget 17, before`."""
        return [f"{self.name} {index}, {moment}" for index in self.index]


def set_rows(paragraphs: Sequence[Mapping[str, Any]]) -> list[SetRows]:
    """By set in the order of the tables.

    paragraphs: dicts with `set`, `index`, `em_before`, `em_after`, `nll_before`, `nll_after`; rows that lack one, or hold a
    number that is not finite, are left out.
    """
    keys = ("em_before", "em_after", "nll_before", "nll_after")
    by_set: dict[str, list[Mapping[str, Any]]] = {}
    for row in paragraphs:
        if all(row.get(key) is not None and math.isfinite(row[key]) for key in keys):
            by_set.setdefault(row["set"], []).append(row)
    sets = []
    for name in set_names(dict.fromkeys(by_set)):
        rows = by_set[name]
        em_before, em_after, nll_before, nll_after = ([row[key] for row in rows] for key in keys)
        sets.append(SetRows(name, [row["index"] for row in rows], (em_before, em_after), (nll_before, nll_after)))
    return sets


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
