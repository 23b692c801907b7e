"""Gradients of the NLL, pooled per layer and component: how strongly each part of the model would change a paragraph (paper,
section 4).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import PreTrainedModel

from memunlearn.localization.labelled import Cell, Labelled
from memunlearn.models.architectures import KINDS
from memunlearn.models.components import WeightTensor
from memunlearn.objectives.losses import nll
from memunlearn.paragraphs.paragraph_set import ParagraphSet
from memunlearn.progress import track
from memunlearn.scoring.forward import continuation_logits


def layer_total(pooled: Labelled) -> Tensor:
    """[N, L]: sum of the magnitudes of a layer's gradients."""
    return pooled["total"] @ _in_layer(pooled)


def layer_variance(pooled: Labelled) -> Tensor:
    """[N, L]: variance of a layer's gradients over all of its weights."""
    in_layer = _in_layer(pooled)
    weight = in_layer * pooled["size"][:, None] / (pooled["size"] @ in_layer)
    mean = pooled["mean"] @ weight
    return (pooled["variance"] + pooled["mean"].square()) @ weight - mean.square()


def layer_spread(pooled: Labelled) -> Tensor:
    """[N, L]: variance of `top_mean` over a layer's cells (the rows of the heat map)."""
    in_layer = _in_layer(pooled)
    weight = in_layer / in_layer.sum(0)
    top_mean = pooled["top_mean"]
    return torch.stack([((top_mean - (top_mean @ w)[:, None]).square() @ w) for w in weight.T], 1)


def layers_of(cells: Sequence[Cell]) -> list[int]:
    return sorted({cell.layer for cell in cells})


def _in_layer(pooled: Labelled) -> Tensor:
    """[cells, L] float64 of zeros and ones."""
    layers = layers_of(pooled.cells)
    return torch.tensor([[float(cell.layer == layer) for layer in layers] for cell in pooled.cells], dtype=torch.float64)


def shares(values: Tensor) -> Tensor:
    """[N, cells] pooled magnitudes -> each as a share of its paragraph's sum; NaN for a paragraph without any gradient."""
    return values / values.sum(1, keepdim=True)


@dataclass(frozen=True, eq=False)
class _Block:
    """The cells of one kind in one layer: which slices [H, size] along `axis` of which tensors. H = 1 in MLPs."""

    layer: int
    kind: str
    heads: tuple[int | None, ...]
    slices: tuple[tuple[str, int, Tensor], ...]

    def gather(self, gradients: dict[str, Tensor]) -> Tensor:
        """[H, weights of a cell]."""
        parts = []
        for name, axis, positions in self.slices:
            along = gradients[name] if axis == 0 else gradients[name].T
            parts.append(along[positions.to(along.device)].flatten(1))
        return torch.cat(parts, 1)


def _blocks(weights: Sequence[WeightTensor]) -> list[_Block]:
    slices: dict[tuple[int, int], list[tuple[str, int, Tensor]]] = {}
    heads_of: dict[tuple[int, int], tuple[int | None, ...]] = {}
    for weight in weights:
        for code in weight.kinds.unique().tolist():
            positions = (weight.kinds == code).nonzero().flatten()
            heads = weight.heads[positions]
            numbers = heads.unique().tolist()
            by_head = torch.stack([positions[heads == head] for head in numbers])
            key = (weight.layer, code)
            slices.setdefault(key, []).append((weight.name, weight.axis, by_head))
            heads_of[key] = tuple(None if head < 0 else head for head in numbers)
    return [_Block(layer, KINDS[code], heads_of[layer, code], tuple(slices[layer, code])) for layer, code in sorted(slices)]


def parameter_gradients(
    model: PreTrainedModel, weights: Sequence[WeightTensor], paragraphs: ParagraphSet, top_share: float = 0.1
) -> Labelled:
    """Each of N paragraphs' own gradient of its NLL, pooled over the weights of a cell: one backward pass a paragraph.

    cells: by layer, then kind, then head: every eligible weight is in exactly one. Float64 each: top_mean: [row, cell], mean of
    the largest `top_share` of the cell's magnitudes. total: [row, cell], sum of its magnitudes. mean, variance: [row, cell], of
    its gradients with their signs, over its weights. Units: nats per token, per unit of weight (variance: squared).
    size: [cell], number of its weights.

    NLL is the mean over the continuation. At least one weight a cell is pooled, however small `top_share` (0 < share <= 1).
    The model's requires_grad flags are left as they were.
    """
    blocks = _blocks(weights)
    names = [weight.name for weight in weights]
    before = {name: parameter.requires_grad for name, parameter in model.named_parameters()}
    pooled: list[Tensor] = []
    model.requires_grad_(False)
    try:
        parameters = {name: model.get_parameter(name).requires_grad_() for name in names}
        sizes = [sum(parts.shape[1] * _across(weights, name) for name, _, parts in block.slices) for block in blocks]
        for row in track(range(len(paragraphs)), "differentiating paragraphs"):
            logits = continuation_logits(model, paragraphs.ids[row : row + 1], paragraphs.continuation_length)
            loss = nll(logits, paragraphs.continuations[row : row + 1].to(logits.device))
            gradients = dict(zip(names, torch.autograd.grad(loss, list(parameters.values())), strict=True))
            pooled.append(torch.cat([_pool(block.gather(gradients), top_share) for block in blocks], 1).cpu())
    finally:
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(before[name])
    cells = [Cell(block.layer, block.kind, head) for block in blocks for head in block.heads]
    size = [float(size) for block, size in zip(blocks, sizes, strict=True) for _ in block.heads]
    numbers = (torch.stack(pooled) if pooled else torch.empty(0, 4, len(cells))).double().unbind(1)
    return Labelled(
        {"row": range(len(paragraphs)), "cell": cells},
        {name: (("row", "cell"), of) for name, of in zip(("top_mean", "total", "mean", "variance"), numbers, strict=True)}
        | {"size": (("cell",), torch.tensor(size, dtype=torch.float64))},
    )


def _across(weights: Sequence[WeightTensor], name: str) -> int:
    """Length of the other axis of a tensor."""
    weight = next(weight for weight in weights if weight.name == name)
    return weight.shape[1 - weight.axis]


def _pool(gradients: Tensor, top_share: float) -> Tensor:
    """[H, n] gradients of H cells -> [4, H]: mean of the largest magnitudes, sum of magnitudes, mean, variance."""
    gradients = gradients.float()
    magnitudes = gradients.abs()
    top = magnitudes.topk(max(1, round(top_share * magnitudes.shape[1])), sorted=False).values
    return torch.stack([top.mean(1), magnitudes.sum(1), gradients.mean(1), gradients.var(1, correction=0)])
