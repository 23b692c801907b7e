"""The activations of every block: read, differentiated or replaced through PyTorch hooks on the Hugging Face model itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from memunlearn.localization.labelled import Cell
from memunlearn.models.architectures import KINDS
from memunlearn.models.components import WeightTensor
from memunlearn.models.rows_of_modules import as_rows
from memunlearn.models.sparse_delta import owner_of


@dataclass(frozen=True, eq=False)
class ActivationSite:
    """Where some activations of one block are to be had: the input or the output of one module, [B, T, features].

    name: of the weight that reads or writes them, as in `WeightTensor.name`.
    kinds: int8 [features], positions in KINDS: q, k, v: what the projection gives (before any rotation); out: the per-head
        input of the out projection ("head output"); mlp_in: what the first projection gives, before the nonlinearity;
        mlp_out: what the second projection gives.
    heads: int64 [features]; -1 where there are none (MLPs); for grouped k and v the kv head.
    """

    name: str
    layer: int
    side: Literal["input", "output"]
    kinds: Tensor
    heads: Tensor

    def features(self, kind: str, head: int | None = None) -> Tensor:
        """Boolean [features]: those of this kind (and head)."""
        of_kind = self.kinds == KINDS.index(kind)
        return of_kind if head is None else of_kind & (self.heads == head)


def activation_sites(weights: Sequence[WeightTensor]) -> list[ActivationSite]:
    """Every site of the model whose eligible weights these are, in their order. Fused q, k, v are one site of three kinds."""
    sites = []
    for weight in weights:
        kind = weight.kind_names[0]
        if kind == "mlp_out":
            width = weight.shape[1 - weight.axis]
            kinds = torch.full((width,), KINDS.index(kind), dtype=torch.int8)
            sites.append(ActivationSite(weight.name, weight.layer, "output", kinds, torch.full((width,), -1)))
        else:
            side: Literal["input", "output"] = "input" if kind == "out" else "output"
            sites.append(ActivationSite(weight.name, weight.layer, side, weight.kinds, weight.heads))
    return sites


@dataclass(frozen=True, eq=False)
class Cells:
    """Where each feature of every site belongs.

    labels: by layer, kind, head. of_feature: by site name, int64 [features], positions in labels (a gated MLP has two sites
    of one cell).
    """

    labels: tuple[Cell, ...]
    of_feature: Mapping[str, Tensor]


def activation_cells(sites: Sequence[ActivationSite], per_head: bool = True) -> Cells:
    """The cells of these sites; with per_head False one a layer and kind."""
    named = {
        site.name: [
            (site.layer, int(kind), int(head) if per_head else -1)
            for kind, head in zip(site.kinds.tolist(), site.heads.tolist(), strict=True)
        ]
        for site in sites
    }
    order = sorted({label for labels in named.values() for label in labels})
    place = {label: i for i, label in enumerate(order)}
    return Cells(
        tuple(Cell(layer, KINDS[kind], None if head < 0 else head) for layer, kind, head in order),
        {name: torch.tensor([place[label] for label in labels]) for name, labels in named.items()},
    )


@contextmanager
def recorded(model: nn.Module, sites: Sequence[ActivationSite]) -> Iterator[dict[str, Tensor]]:
    """A dict that each forward pass fills anew: by site name the activations [B, T, features], part of the graph.

    Call `retain_grad` or `torch.autograd.grad` on them for gradients; `detach` them to keep them.
    """
    found: dict[str, Tensor] = {}
    with ExitStack() as hooks:
        rows = hooks.enter_context(as_rows(model))
        for site in sites:
            module, _ = owner_of(model, site.name)

            # What is kept is part of the graph; what is handed on is a copy, since Falcon adds to it in place.
            def on_input(_module: nn.Module, inputs: tuple[Tensor, ...], name: str = site.name) -> tuple[Tensor, ...]:
                found[name] = rows(inputs[0])
                return (found[name].view_as(inputs[0]), *inputs[1:])

            def on_output(_module: nn.Module, _inputs: tuple[Tensor, ...], output: Tensor, name: str = site.name) -> Tensor:
                found[name] = rows(output)
                return found[name].view_as(output).clone()

            if site.side == "input":
                handle = module.register_forward_pre_hook(on_input)
            else:
                handle = module.register_forward_hook(on_output)
            hooks.callback(handle.remove)
        yield found


@dataclass(frozen=True, eq=False)
class Replacement:
    """What to put in place of some activations of a site.

    where: bool, [B, T, features] or what broadcasts to it. values: the same shape, or what broadcasts to it.
    """

    where: Tensor
    values: Tensor


@contextmanager
def replaced(model: nn.Module, sites: Sequence[ActivationSite], replacements: Mapping[str, Replacement]) -> Iterator[None]:
    """Within it each forward pass has these activations, by site name, in place of its own.

    Raises KeyError for a name that is no site's.
    """
    by_name = {site.name: site for site in sites}
    with ExitStack() as hooks:
        rows = hooks.enter_context(as_rows(model))

        def with_new(values: Tensor, new: Replacement) -> Tensor:
            return torch.where(new.where, new.values, rows(values)).view_as(values)

        for name, replacement in replacements.items():
            module, _ = owner_of(model, name)

            def on_input(_module: nn.Module, inputs: tuple[Tensor, ...], new: Replacement = replacement) -> tuple[Tensor, ...]:
                return (with_new(inputs[0], new), *inputs[1:])

            def on_output(
                _module: nn.Module, _inputs: tuple[Tensor, ...], output: Tensor, new: Replacement = replacement
            ) -> Tensor:
                return with_new(output, new)

            if by_name[name].side == "input":
                handle = module.register_forward_pre_hook(on_input)
            else:
                handle = module.register_forward_hook(on_output)
            hooks.callback(handle.remove)
        yield
