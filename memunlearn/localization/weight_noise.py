"""Gaussian noise on chosen weights, and on no others: which text does it hurt first? (paper, section 4)"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from memunlearn.localization.labelled import Labelled
from memunlearn.models.components import WeightTensor
from memunlearn.models.sparse_delta import attach, delta_parameters, detach, write_deltas
from memunlearn.paragraphs.paragraph_set import ParagraphSet
from memunlearn.progress import track
from memunlearn.scoring.score import score

Indices = Mapping[str, Tensor | None]
"""Chosen weights: per tensor flat positions (int64, sorted), or None for all of it, as in `Mask.indices`."""


def weight_spread(model: nn.Module, weights: Sequence[WeightTensor]) -> float:
    """Standard deviation of all of these weights together, whatever tensor they are in: the unit of the noise.

    One number for the model, and not one a tensor: different choices of weights then get the same noise.
    """
    count, total, squares = 0, 0.0, 0.0
    for weight in weights:
        values = model.get_parameter(weight.name).detach().cpu()
        count += values.numel()
        total += float(values.sum(dtype=torch.float64))
        squares += float(values.norm(dtype=torch.float64) ** 2)
    return math.sqrt(max(0.0, squares / count - (total / count) ** 2))


@contextmanager
def noise(model: nn.Module, indices: Indices, deviation: float, seed: int) -> Iterator[None]:
    """Within it N(0, deviation^2) is added to the chosen weights; then the model is as it was, bit for bit, errors or not.

    The same seed draws the same noise on every device, and at another deviation a multiple of it. The model must be plain
    (no deltas) and fp32. Raises UserError as `attach` does.
    """
    before = {name: parameter.requires_grad for name, parameter in model.named_parameters()}
    attach(model, indices)
    try:
        generator = torch.Generator().manual_seed(seed)
        deltas = delta_parameters(model)
        write_deltas(model, {name: deviation * torch.randn(deltas[name].shape, generator=generator) for name in deltas})
        yield
    finally:
        detach(model)
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(before[name])


def weight_noise(
    model: PreTrainedModel,
    choices: Mapping[str, Sequence[Indices]],
    paragraphs: ParagraphSet,
    *,
    unit: float,
    scales: Sequence[float],
    seeds: Sequence[int],
    batch_size: int = 16,
    read: Tensor | None = None,
) -> Labelled:
    """Scores the paragraphs under every choice of weights, scale and seed: one pass a paragraph each.

    choices: by name the weights to disturb, for each seed (the same ones, or drawn anew). scales: standard deviations of the
    noise, in units of `unit`. read: [seeds, N] bool, the rows to score; None is all of them.
    Gives em, nll: [choice, scale, seed, row] float64, NLL in nats a token, not finite where the noise broke the model; NaN in
    rows that were not scored; and read: [seed, row].
    """
    settings = [(c, s, r) for c in range(len(choices)) for s in range(len(scales)) for r in range(len(seeds))]
    em = torch.full((len(choices), len(scales), len(seeds), len(paragraphs)), torch.nan, dtype=torch.float64)
    nll = em.clone()
    scored = torch.ones(len(seeds), len(paragraphs), dtype=torch.bool) if read is None else read
    chosen = list(choices.values())
    for setting in track(settings, "disturbing weights"):
        c, s, r = setting
        with noise(model, chosen[c][r], scales[s] * unit, seeds[r]):
            scores = score(model, paragraphs.select(scored[r]), batch_size)
        em[setting][scored[r]], nll[setting][scored[r]] = scores.em.double(), scores.nll.double()
    every = ("choice", "scale", "seed", "row")
    return Labelled(
        {"choice": list(choices), "scale": scales, "seed": seeds, "row": range(len(paragraphs))},
        {"em": (every, em), "nll": (every, nll), "read": (("seed", "row"), scored)},
    )
