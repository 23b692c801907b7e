"""The cost model: floating point operations and bytes of a paragraph and of a step, as pure functions.

W eligible weights, D hidden size, L layers, V vocabulary, T = P + C - 1 tokens that a pass reads, C of the continuation, K
chosen weights. fp32.
"""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.speed.matrix_products import flops, forward_products, step_products
from benchmarks.speed.sizes import Lengths, Size
from memunlearn.objectives.by_rows import rows_at_once

FLOAT = 4
INDEX = 8
ADAM_STATES = 2


@dataclass(frozen=True)
class Rate:
    """A machine. peak: operations a second that its matrix products reach. scoring, step: the share of it that our work
    reaches."""

    peak: float
    scoring: float
    step: float


def scoring_flops(size: Size, lengths: Lengths) -> int:
    """A row scored: 2 T W + 2 C D V."""
    return flops(forward_products(size, lengths, 1))


def step_flops(size: Size, lengths: Lengths) -> int:
    """A row of a step with all weights: 6 T W, and 6 C D V (the head forwards, backwards, and of the base model's states)."""
    return flops(step_products(size, lengths, 1))


def scoring_seconds(size: Size, lengths: Lengths, rate: Rate) -> float:
    """A row."""
    return scoring_flops(size, lengths) / (rate.peak * rate.scoring)


def step_seconds(size: Size, lengths: Lengths, rate: Rate) -> float:
    """A row of a step."""
    return step_flops(size, lengths) / (rate.peak * rate.step)


@dataclass(frozen=True, kw_only=True)
class Bytes:
    """Of a training step. weights: the model's. delta: what is trained, its gradient, Adam's two states, and the positions of a
    mask. effective: each changed tensor once more while a pass runs. logits: of the rows dealt with at once (`by_rows`),
    of the current model and the base model, and what the loss makes of them. kept: the base model's states of all rows that are
    known, on the CPU."""

    weights: int
    delta: int
    effective: int
    logits: int
    kept: int

    @property
    def on_device(self) -> int:
        return self.weights + self.delta + self.effective + self.logits


LOGITS_ALIVE = 5
"""[rows, C, V] at once: logits and their gradient, log-probabilities of both models, and the base model's logits."""


def step_bytes(size: Size, lengths: Lengths, *, rows: int, chosen: float, known_rows: int) -> Bytes:
    """chosen: share of the eligible weights, spread over all tensors. rows: of a step. The blocks' activations come on top."""
    k = round(chosen * size.eligible)
    row = lengths.continuation * size.vocabulary
    trained = k * FLOAT * (2 + ADAM_STATES)
    return Bytes(
        weights=size.weights * FLOAT,
        delta=trained if chosen == 1 else trained + k * INDEX,
        effective=size.eligible * FLOAT,
        logits=LOGITS_ALIVE * min(rows, rows_at_once(row)) * row * FLOAT,
        kept=known_rows * lengths.continuation * size.hidden * FLOAT,
    )


def factor_bytes(size: Size) -> int:
    """K-FAC: A and G of q, k, v, out, MLP in and out of each layer, A of q, k and v once: 40 D^2 numbers a layer."""
    inputs = 1 + 1 + 1 + 16  # of q, k and v together; of out; of MLP in; of MLP out, 4 D wide
    outputs = 4 + 16 + 1  # of q, k, v and out; of MLP in, 4 D wide; of MLP out
    return FLOAT * size.layers * size.hidden**2 * (inputs + outputs)
