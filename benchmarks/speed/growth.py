"""What scoring costs against rows, tokens, vocabulary and model size, in turns."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from transformers import PreTrainedModel

import memunlearn as mu
from benchmarks.speed.matrix_products import flops, forward_products
from benchmarks.speed.sizes import Lengths, Size, random_model, random_rows
from benchmarks.speed.workload import Given, Workload, measured


def grown(given: Given) -> dict[str, tuple[Size, Lengths, int]]:
    """From half the layers, and half the rows, on: by name each of these made another, one at a time."""
    half = replace(given.size, layers=max(2, given.size.layers // 2))
    rows, lengths = max(1, given.rows // 2), given.lengths
    short = Lengths(max(1, lengths.prefix // 2), max(1, lengths.continuation // 2))
    return {
        "the base": (half, lengths, rows),
        "twice the rows": (half, lengths, 2 * rows),
        "half the tokens": (half, short, rows),
        "a tenth of the vocabulary": (replace(half, vocabulary=max(2, half.vocabulary // 10)), lengths, rows),
        "twice the layers": (replace(half, layers=2 * half.layers), lengths, rows),
        "half the width": (replace(half, hidden=half.hidden // 2, heads=max(1, half.heads // 2)), lengths, rows),
    }


def growth(given: Given) -> list[Workload]:
    """Seconds of scoring as one thing grows, beside the matrix products that it then needs."""
    models: dict[Size, PreTrainedModel] = {}

    def scoring(size: Size, lengths: Lengths, count: int) -> Callable[[], mu.ParagraphScores]:
        if size not in models:
            models[size] = random_model(size, given.device)
        model, rows = models[size], random_rows(size, lengths, count)

        def run() -> mu.ParagraphScores:
            with given.autocast():
                return mu.score(model, rows, count)

        return run

    cases = grown(given)
    base_size, base_lengths, base_rows = cases["the base"]
    return [
        measured(
            given,
            {name: scoring(*case) for name, case in cases.items()},
            name="growth",
            title="Scoring, as one thing is made another",
            rows=0,
            tokens=0,
            flops={name: flops(forward_products(*case)) for name, case in cases.items()},
            said=f"The base: {base_size.layers} layers x {base_size.hidden}, V = {base_size.vocabulary:,}, {base_rows} rows "
            f"of {base_lengths.prefix} + {base_lengths.continuation} tokens.",
        )
    ]
