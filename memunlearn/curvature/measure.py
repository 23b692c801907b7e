"""Measuring the factors of weights on text that must stay."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import torch
from torch import Tensor
from transformers import PreTrainedModel

from memunlearn.curvature.factors import Block, Curvature, EigenFactors, Factors, in_eigenbasis
from memunlearn.curvature.passes import Reading, full_precision, inputs_of, passes, positions_read
from memunlearn.errors import UserError
from memunlearn.models.architectures import KINDS
from memunlearn.models.components import WeightTensor, output_axis
from memunlearn.models.sparse_delta import owner_of
from memunlearn.paragraphs.paragraph_set import ParagraphSet


class MeasureCurvature(Protocol):
    """As `measure_curvature`."""

    def __call__(
        self,
        model: PreTrainedModel,
        weights: Sequence[WeightTensor],
        paragraphs: ParagraphSet,
        how: Reading | None = ...,
        *,
        eigenvalues: bool = ...,
        all_weights: Sequence[WeightTensor] | None = ...,
    ) -> Curvature: ...


def output_blocks(weight: WeightTensor, weights: Sequence[WeightTensor]) -> list[Tensor]:
    """The output features [o] of each block of a weight: q, k and v of a fused one apart, gate and up of a fused one apart (as
    many as MLP out has inputs), everything else in one. weights: all eligible ones of the model.

    So a model whose weights are fused and the same model with split ones take the same steps.
    """
    features = torch.arange(weight.shape[weight.axis])
    kinds = weight.kinds.long()
    if len(weight.kind_names) > 1:
        return [features[kinds == code] for code in kinds.unique().tolist()]
    if weight.kind_names == ("mlp_in",):
        widths = {w.shape[w.axis] for w in weights if w.layer == weight.layer and w.kind_names == ("mlp_out",)}
        width = widths.pop() if len(widths) == 1 else len(features)
        return list(features.split(width)) if len(features) % width == 0 else [features]
    if KINDS[int(kinds[0])] in ("out", "mlp_out"):  # their axis is that of the inputs
        return [torch.arange(weight.shape[1 - weight.axis])]
    return [features]


def measure_curvature(
    model: PreTrainedModel,
    weights: Sequence[WeightTensor],
    paragraphs: ParagraphSet,
    how: Reading | None = None,
    *,
    eigenvalues: bool = False,
    all_weights: Sequence[WeightTensor] | None = None,
) -> Curvature:
    """The factors of these weights on these paragraphs, fp32 on the model's device; the model: the base model.

    A = mean over rows and positions of a a'. G = sum over rows and positions of g g' / (rows x scored positions), g the
    gradient of a row's summed NLL. In expectation F is a scored token's share of the second derivative of the KL, but for
    products of two positions, and as far as A and G do not depend on each other.
    eigenvalues: EK-FAC, a second reading of the same text with the same labels. all_weights: the eligible ones, where `weights`
    are not all of them. Raises UserError if there are no paragraphs.
    """
    if not len(paragraphs):
        raise UserError("there is no text to measure curvature on: the retain set is empty")
    how = how or Reading()
    blocks = {weight.name: output_blocks(weight, all_weights or weights) for weight in weights}
    inputs: dict[str, Tensor] = {}
    gradients: dict[str, list[Tensor]] = {}
    source: dict[str, str] = {}
    tokens, scored = how.tokens(paragraphs), how.scored(paragraphs)
    for read in passes(model, list(blocks), paragraphs, how, "measuring curvature"):
        source = source or _shared(read.inputs)
        with full_precision(model.device):
            if read.first:
                for name in dict.fromkeys(source.values()):
                    _add(inputs, name, read.inputs[name].flatten(0, 1).float())
            for name, gradient in read.gradients.items():
                sums = gradients.setdefault(name, [_zeros(len(features), gradient) for features in blocks[name]])
                for features, total in zip(blocks[name], sums, strict=True):
                    part = gradient.flatten(0, 1)[:, features.to(gradient.device)]
                    total.addmm_(part.T, part)
    positions = int(positions_read(paragraphs.ids).sum())
    for total in inputs.values():
        total /= positions
    for sums in gradients.values():
        for total in sums:
            total /= tokens
    factors = {
        name: Factors(
            inputs[source[name]],
            tuple(Block(f.to(g.device), g) for f, g in zip(blocks[name], gradients[name], strict=True)),
            output_axis(owner_of(model, name)[0]),
        )
        for name in blocks
    }
    if eigenvalues:
        return Curvature(_corrected(model, factors, paragraphs, how), len(paragraphs), scored)
    return Curvature(factors, len(paragraphs), scored)


def with_inputs_of(
    model: PreTrainedModel, factors: dict[str, Factors], paragraphs: ParagraphSet, weight: float, batch_size: int = 16
) -> dict[str, Factors]:
    """The same G, and A + weight * mean over these rows and positions of a a': as if such inputs were what must be kept, too.

    model: the base model. factors: by the weight's name, on its device; is emptied meanwhile, so that what nobody else holds
    makes room. Tensors that weights share stay shared.
    """
    reader: dict[int, str] = {}  # by the shared tensor, the first weight that reads it
    source = {name: reader.setdefault(id(known.inputs), name) for name, known in factors.items()}
    inputs: dict[str, Tensor] = {}
    found: dict[str, Factors] = {}
    for name, first in source.items():
        known = factors.pop(name)
        if name == first:
            inputs[name] = known.inputs.clone()
        found[name] = Factors(inputs[first], known.blocks, known.output_axis)
    share = weight / int(positions_read(paragraphs.ids).sum())
    for given in inputs_of(model, list(inputs), paragraphs, batch_size, "reading what is to be forgotten"):
        with full_precision(model.device):
            for name, total in inputs.items():
                rows = given[name].flatten(0, 1).float()
                total.addmm_(rows.T, rows, alpha=share)
    return found


def _corrected(
    model: PreTrainedModel, factors: Mapping[str, Factors], paragraphs: ParagraphSet, how: Reading
) -> dict[str, EigenFactors]:
    """The eigenvalues in the factors' eigenbasis: the mean square of a row's gradient there, a scored token's share."""
    bases = in_eigenbasis(factors)
    for basis in bases.values():
        for block in basis.blocks:
            block.values.zero_()  # the products are not needed, and their place is
    for read in passes(model, list(bases), paragraphs, how, "correcting eigenvalues"):
        with full_precision(model.device):
            for name, basis in bases.items():
                rotated = read.inputs[name].float() @ basis.inputs
                for block in basis.blocks:
                    outputs = read.gradients[name][:, :, block.features] @ block.outputs
                    for output, given in zip(outputs, rotated, strict=True):  # a row at a time: [o, in] each
                        block.values.add_((output.T @ given).square())
    for basis in bases.values():
        for block in basis.blocks:
            block.values.div_(how.tokens(paragraphs))
    return bases


def _shared(inputs: Mapping[str, Tensor]) -> dict[str, str]:
    """For each name the first one whose module is given the very same tensor (as q, k and v are)."""
    first: dict[tuple[int, ...], str] = {}
    return {name: first.setdefault((x.data_ptr(), *x.shape, *x.stride()), name) for name, x in inputs.items()}


def _add(sums: dict[str, Tensor], name: str, values: Tensor) -> None:
    """values: [n, d]; adds their outer products."""
    sums.setdefault(name, _zeros(values.shape[1], values)).addmm_(values.T, values)


def _zeros(size: int, like: Tensor) -> Tensor:
    return torch.zeros(size, size, device=like.device)
