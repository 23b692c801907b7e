"""Gradients of a paragraph's NLL with respect to activations: where, and at which token, it could be changed (finding 4)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import PreTrainedModel

from memunlearn.localization.activations import ActivationSite, Cells, activation_cells, activation_sites, recorded
from memunlearn.localization.labelled import Cell, Labelled
from memunlearn.localization.twins import Twins
from memunlearn.models.components import WeightTensor
from memunlearn.objectives.losses import token_nll
from memunlearn.paragraphs.paragraph_set import ParagraphSet
from memunlearn.progress import track
from memunlearn.scoring.forward import continuation_logits


def activation_gradients(
    model: PreTrainedModel,
    weights: Sequence[WeightTensor],
    paragraphs: ParagraphSet,
    batch_size: int = 16,
    description: str = "differentiating activations",
) -> Labelled:
    """|d NLL / d activation| of N paragraphs, NLL being the mean over a paragraph's continuation (nats per token).

    cells: every head of q, k, v, out and both MLP components of every layer. I-1 positions: the last token is no input.
    magnitude: [row, cell] float64: mean of the absolute gradients over the cell's features and all positions (so a component's
        is the mean of its heads'), nats per unit of the activation.
    share: [row, cell] float64: the same as a share of the paragraph's total, the sum of the components' magnitudes over all
        layers; a component's share is the sum of its heads', and a row sums to 1 (to 0 if it has no gradient at all).
    position_share: [row, position] float64: each position's share of the paragraph's total; a row sums to 1.
    by_position, share_by_position: [cell, position] float64: means over the N paragraphs of the magnitude (over features) at
        each position, and of the share that each cell and position has of the paragraph's total.

    One forward and one backward pass a batch; memory does not grow with N beyond [N, cells + positions] numbers.

    The pool is the mean of magnitudes rather than their top 10 % (as the paper's for weights): a position has as few as one
    head's features. Raises ValueError if there are no paragraphs.
    """
    if not len(paragraphs):
        raise ValueError("there are no paragraphs to differentiate")
    sites = activation_sites(weights)
    cells = activation_cells(sites)
    features = _features(cells)
    part = 1 / heads_of_components(cells.labels).double()
    magnitude, share, position_share = [], [], []
    shape = (len(cells.labels), paragraphs.ids.shape[1] - 1)
    sums = torch.zeros(2, *shape, dtype=torch.float64)
    for rows in track(torch.arange(len(paragraphs)).split(batch_size), description):
        pooled = torch.zeros(len(rows), *shape, dtype=torch.float64)
        for name, gradient in _gradients(model, sites, paragraphs.select(rows)).items():
            _add_to_cells(pooled, cells.of_feature[name], gradient.abs())
        pooled /= features[:, None]
        whole = pooled * part[:, None]
        # A paragraph whose gradient vanishes altogether has shares of 0, not of NaN.
        shares = whole / whole.sum((1, 2), keepdim=True).clamp_min(torch.finfo(torch.float64).tiny)
        magnitude.append(pooled.mean(2))
        share.append(shares.sum(2))
        position_share.append(shares.sum(1))
        sums += torch.stack([pooled.sum(0), shares.sum(0)])
    by_position, share_by_position = sums / len(paragraphs)
    return Labelled(
        {"row": range(len(paragraphs)), "cell": cells.labels, "position": range(shape[1])},
        {
            "magnitude": (("row", "cell"), torch.cat(magnitude)),
            "share": (("row", "cell"), torch.cat(share)),
            "position_share": (("row", "position"), torch.cat(position_share)),
            "by_position": (("cell", "position"), by_position),
            "share_by_position": (("cell", "position"), share_by_position),
        },
    )


def gradient_distances(model: PreTrainedModel, weights: Sequence[WeightTensor], twins: Twins, batch_size: int = 16) -> Labelled:
    """Each of n paragraphs (n may be 0) against its own perturbed twin: same continuation, NLL of each.

    distance: [row, cell] float64, 0..2: the cosine distance between their activation gradients, over all features and positions
    of a cell (one a layer and component); NaN where a gradient is zero.
    """
    sites = activation_sites(weights)
    cells = activation_cells(sites, per_head=False)
    distances = [torch.empty(0, len(cells.labels), dtype=torch.float64)]
    for rows in track(torch.arange(len(twins)).split(batch_size) if len(twins) else (), "comparing with twins"):
        original, perturbed = (_gradients(model, sites, side.select(rows)) for side in (twins.original, twins.perturbed))
        dot, ours, theirs = torch.zeros(3, len(rows), len(cells.labels), 1, dtype=torch.float64)
        for name, of_feature in cells.of_feature.items():
            a, b = original[name], perturbed[name]
            for total, product in ((dot, a * b), (ours, a.square()), (theirs, b.square())):
                _add_to_cells(total, of_feature, product.sum(1, keepdim=True))
        distances.append((1 - dot / (ours * theirs).sqrt()).squeeze(2))
    labels = {"row": range(len(twins)), "cell": cells.labels}
    return Labelled(labels, {"distance": (("row", "cell"), torch.cat(distances))})


def component_cells(cells: Sequence[Cell]) -> tuple[tuple[Cell, ...], Tensor]:
    """The components that these cells (heads) make up, in their order, and which of them each is part of: [cells] int64."""
    whole = tuple(dict.fromkeys(cell.component for cell in cells))
    return whole, torch.tensor([whole.index(cell.component) for cell in cells])


def heads_of_components(cells: Sequence[Cell]) -> Tensor:
    """[cells] int64: how many heads the cell's component has (1 for MLPs)."""
    component = component_cells(cells)[1]
    return component.bincount()[component]


def of_components(cells: Sequence[Cell], heads: Tensor) -> Tensor:
    """Sums over the heads of each component: [..., cells] -> [..., components]."""
    whole, component = component_cells(cells)
    return heads.new_zeros(*heads.shape[:-1], len(whole)).index_add_(-1, component, heads)


def _gradients(model: PreTrainedModel, sites: Sequence[ActivationSite], paragraphs: ParagraphSet) -> dict[str, Tensor]:
    """d NLL / d activation of every row, by site name: [B, I-1, features].

    Rows do not mix in the model, so the gradient of the sum of their NLLs has each row's own.
    """
    with torch.enable_grad(), _differentiable(model), recorded(model, sites) as found:
        logits = continuation_logits(model, paragraphs.ids, paragraphs.continuation_length)
        nll = token_nll(logits, paragraphs.continuations.to(logits.device)).mean(1)
        return dict(zip(found, torch.autograd.grad(nll.sum(), list(found.values())), strict=True))


@contextmanager
def _differentiable(model: PreTrainedModel) -> Iterator[None]:
    """Within it activations have a graph and weights do not (so a backward pass costs no weight gradients)."""
    flags = [(parameter, parameter.requires_grad) for parameter in model.parameters()]
    model.requires_grad_(False)

    def from_here(_module: nn.Module, _inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
        return output.requires_grad_()

    handle = model.get_input_embeddings().register_forward_hook(from_here)
    try:
        yield
    finally:
        handle.remove()
        for parameter, flag in flags:
            parameter.requires_grad_(flag)


def _add_to_cells(total: Tensor, of_feature: Tensor, values: Tensor) -> None:
    """Adds values [B, T, features] to the cells of their features: total [B, cells, T] float64, on the CPU."""
    # A product with the cells' indicators: unlike index_add_, it gives the same sums on a GPU every time.
    cells, place = of_feature.unique(return_inverse=True)
    indicator = functional.one_hot(place, len(cells)).to(values)
    total[:, cells] += (values @ indicator).transpose(1, 2).cpu().double()


def _features(cells: Cells) -> Tensor:
    """[cells] float64: how many features each has."""
    return sum(
        (torch.bincount(of_feature, minlength=len(cells.labels)) for of_feature in cells.of_feature.values()),
        torch.zeros(len(cells.labels), dtype=torch.float64),
    )
