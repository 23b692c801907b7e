"""Samples of a base model's own text: drawn once, and kept."""

from __future__ import annotations

from torch import Tensor

from memunlearn.caching.keys import tensor_digest
from memunlearn.caching.store import cached
from memunlearn.commands.base_measurements import BaseMeasurements
from memunlearn.scoring.own_samples import Start, own_samples

VERSION = 1


def kept_samples(measurements: BaseMeasurements, rows: int, length: int, *, start: Start, seed: int, batch_size: int) -> Tensor:
    """`own_samples` of the base model, from the store where they are there."""
    drawn_from = {"tokens": tensor_digest(start.tokens), "first": tensor_digest(start.first)}
    return cached(
        measurements.store,
        "own samples",
        measurements.key(
            "samples", VERSION, {"samples": rows, "length": length, "begin": list(start.ids), **drawn_from}, seed=seed
        ),
        make=lambda _: own_samples(
            measurements.model, rows, length, start=start, seed=seed, batch_size=batch_size, description="sampling own text"
        ),
        pack=lambda drawn: {"drawn": drawn},
        unpack=lambda tensors: tensors["drawn"],
    )
