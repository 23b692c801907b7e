"""Does the text come back where weights are rounded to few bits?"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import torch
from torch import Tensor

from memunlearn.attacks.attempt import Attempt, attempt_with, nothing_measured
from memunlearn.attacks.changed_weights import with_changed_weights
from memunlearn.attacks.material import Subject, Target
from memunlearn.attacks.setting_checks import check_list
from memunlearn.models.components import output_axis
from memunlearn.models.sparse_delta import base_parameters, owner_of
from memunlearn.progress import track

BITS = {"int8": 8, "int4": 4}
NF4 = "nf4"
BLOCK = 64
WHY_NOT = "it needs bitsandbytes, which is not installed: pip install 'memunlearn[attacks]'"


@dataclass(frozen=True)
class Quantization:
    """Weights of the blocks' attention and MLP matrices are rounded to few bits; all forget rows are measured.

    int8 and int4: round to nearest, symmetric, one step an output row: step = max |w| / (2^(bits - 1) - 1). nf4: the 16 levels
    of NormalFloat (Dettmers et al. 2023, arXiv 2305.14314) in blocks of 64 weights, by bitsandbytes; without it this attempt
    measures nothing, and its note says so. Embeddings, norms, biases and activations stay fp32. That rounding can undo
    unlearning: Zhang et al. 2024, arXiv 2410.16454. The base model rounded the same way shows what rounding alone does.

    Of int8 and int4 `below_half_a_step` is the share of the weights that unlearning changed whose change is less than half of
    the base model's step: a change so small moves a weight to another level only by chance.

    kinds: out of int8, int4, nf4.
    """

    kinds: Sequence[str] = ("int8", "int4", NF4)
    name: ClassVar[str] = "quantization"

    def __post_init__(self) -> None:
        known = (*BITS, NF4)
        check_list("quantization.kinds", self.kinds, known.__contains__, f"words out of {', '.join(known)}")

    def __call__(self, subject: Subject, target: Target) -> list[Attempt]:
        attempts = []
        for kind in track(self.kinds, f"{self.name}, {subject.name}"):
            if kind == NF4 and importlib.util.find_spec("bitsandbytes") is None:
                attempts.append(nothing_measured({"kind": kind}, WHY_NOT))
                continue
            model = with_changed_weights(subject.model, target.weights, _rounding(kind))
            extra = {}
            if subject.name == "unlearned" and target.base is not None and kind in BITS:
                extra = {"below_half_a_step": below_half_a_step(subject, target, BITS[kind])}
            attempts.append(attempt_with(model, target, {"kind": kind}, extra=extra))
        return attempts


def round_to_nearest(weight: Tensor, bits: int) -> Tensor:
    """[outputs, inputs], each row on its own levels -q .. q times its `step_of_rows`, q = 2^(bits - 1) - 1."""
    step = step_of_rows(weight, bits)
    levels = torch.where(step > 0, weight / step, weight).round()
    return levels * step


def step_of_rows(weight: Tensor, bits: int) -> Tensor:
    """[outputs, 1]: the distance of two levels; 0 where a row is all 0."""
    highest: int = 2 ** (bits - 1) - 1
    return weight.abs().amax(1, keepdim=True) / highest


def normal_float_4(weight: Tensor) -> Tensor:
    """The weight through bitsandbytes' NF4 and back, in blocks of 64 along its rows. Needs bitsandbytes."""
    from bitsandbytes.functional import dequantize_4bit, quantize_4bit

    codes, state = quantize_4bit(weight.contiguous(), blocksize=BLOCK, quant_type=NF4)
    restored: Tensor = dequantize_4bit(codes, state)
    return restored


def below_half_a_step(subject: Subject, target: Target, bits: int) -> float:
    """Of the weights that are not the base model's the share that is less than half a step of the base model from it; 0..1,
    NaN where no weight is changed."""
    assert target.base is not None
    before, after = base_parameters(target.base), base_parameters(subject.model)
    small, changed = 0, 0
    for weight in target.weights:
        one, other = before[weight.name].detach(), after[weight.name].detach()
        if output_axis(owner_of(target.base, weight.name)[0]) != 0:
            one, other = one.T, other.T
        change = (other - one).abs()
        small += int(((change > 0) & (change < step_of_rows(one, bits) / 2)).sum())
        changed += int((change > 0).sum())
    return small / changed if changed else float("nan")


def _rounding(kind: str) -> Callable[[Tensor], Tensor]:
    return normal_float_4 if kind == NF4 else partial(round_to_nearest, bits=BITS[kind])
