"""Which weights may be changed, and what each of them is: layer, kind, head."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from memunlearn.errors import UserError
from memunlearn.models.architectures import KINDS, axis_labels, layer_of, patterns_for
from memunlearn.models.sparse_delta import base_parameters, owner_of
from memunlearn.models.text_config import head_counts


@dataclass(frozen=True, eq=False, kw_only=True)
class WeightTensor:
    """One eligible weight matrix of one block.

    name: as in `named_parameters()` of the plain model, such as `transformer.h.0.attn.attention.q_proj.weight`.
    axis: the axis along which kind and head change: the output features of q, k, v and MLP in, the input features
        of out (its heads) and MLP out (its neurons).
    kinds: int8 [shape[axis]], positions in KINDS.
    heads: int64 [shape[axis]]; -1 in MLPs; for grouped k and v the kv head.
    scale_free: over what a norm takes any scale of q or k back: `head`, each by itself, or `layer`, all heads together.
    """

    name: str
    layer: int
    shape: tuple[int, int]
    axis: int
    kinds: Tensor
    heads: Tensor
    scale_free: Literal["head", "layer"] | None = None

    @property
    def size(self) -> int:
        """Number of weights."""
        return self.shape[0] * self.shape[1]

    @property
    def kind_names(self) -> tuple[str, ...]:
        """The kinds in this tensor: several where q, k and v are fused."""
        return tuple(KINDS[int(code)] for code in self.kinds.unique())


def eligible_weights(model: nn.Module, patterns: Mapping[str, str] | None = None) -> list[WeightTensor]:
    """The attention q, k, v, out and MLP in, out matrices of every block.

    Not embeddings, norms or biases; a tied tensor counts once. Works on plain models and on ones with deltas attached;
    the order (layer, kind, name) is the same for both. `patterns` describes an architecture that is not built in: see
    `architectures.BUILT_IN` for examples. Raises UserError for an unknown architecture and for a pattern that fits nothing.
    """
    table = patterns_for(model, patterns)
    weights: list[WeightTensor] = []
    parameters = base_parameters(model)
    for pattern, layout in table.items():
        fitting = [(name, layer) for name in parameters if (layer := layer_of(name, pattern)) is not None]
        if not fitting:
            raise UserError(
                f"{type(model).__name__} has no weight named like {pattern}: mend model.patterns, "
                f"or give it if this model is laid out differently from others of its type"
            )
        weights += [_describe(model, name, layer, parameters[name], layout) for name, layer in fitting]
    return sorted(weights, key=lambda weight: (weight.layer, int(weight.kinds.min()), weight.name))


def _describe(model: nn.Module, name: str, layer: int, parameter: Tensor, layout: str) -> WeightTensor:
    if parameter.ndim != 2:
        raise UserError(f"{name} has shape {list(parameter.shape)}, but only matrices can be chosen from: mend model.patterns")
    axis = output_axis(owner_of(model, name)[0])
    if layout in ("out", "mlp_out"):
        axis = 1 - axis
    heads, kv_heads = head_counts(model)
    try:
        kinds, head_numbers = axis_labels(layout, parameter.shape[axis], heads, kv_heads)
    except ValueError as error:
        raise UserError(f"{name} cannot be '{layout}': {error}; mend model.patterns") from error
    return WeightTensor(
        name=name,
        layer=layer,
        shape=(parameter.shape[0], parameter.shape[1]),
        axis=axis,
        kinds=kinds,
        heads=head_numbers,
        scale_free=_scale_free_over(model, name, layout, parameter.shape[axis]),
    )


def _scale_free_over(model: nn.Module, name: str, layout: str, features: int) -> Literal["head", "layer"] | None:
    """By the norm that stands beside the projection of a q or k [features]; a bias is not scaled with the weights."""
    if layout not in ("q", "k") or getattr(owner_of(model, name)[0], "bias", None) is not None:
        return None
    attention = model.get_submodule(name.rsplit(".", 2)[0])
    norm = getattr(attention, f"{layout}_norm", None) or getattr(attention, f"{layout}_layernorm", None)
    if norm is None:
        return None
    weight = getattr(norm, "weight", None)  # Cohere's is [heads, size], a list of norms has none
    return "layer" if isinstance(weight, Tensor) and tuple(weight.shape) == (features,) else "head"


def output_axis(module: nn.Module) -> int:
    """Along which axis of its weight a module's output features lie."""
    from transformers.pytorch_utils import Conv1D

    return 1 if isinstance(module, Conv1D) else 0  # GPT-2's Conv1D is a Linear that stores its weight transposed


def locate(weight: WeightTensor, flat: Tensor) -> tuple[Tensor, Tensor]:
    """What the weights at these flat indices [n] of one tensor are.

    Returns (kind codes into KINDS, int8 [n]; heads, int64 [n], -1 in MLPs); the layer is `weight.layer`.
    """
    columns = weight.shape[1]
    along = flat // columns if weight.axis == 0 else flat % columns
    return weight.kinds.to(flat.device)[along], weight.heads.to(flat.device)[along]


def count_per_component(indices: Mapping[str, Tensor | None], weights: Sequence[WeightTensor]) -> dict[str, int]:
    """How many chosen weights lie in each component, under `"{layer}.{kind}"` for every layer and kind of the model.

    `indices`: flat indices per tensor; None is the whole tensor; a tensor that is absent has none chosen.
    Raises UserError for a tensor that is not among `weights`.
    """
    known = {weight.name: weight for weight in weights}
    for name in indices:
        if name not in known:
            raise UserError(f"{name} is not an eligible weight of this model: was the mask made for another model?")
    counts = {f"{layer}.{kind}": 0 for layer in sorted({w.layer for w in weights}) for kind in KINDS}
    for name, flat in indices.items():
        weight = known[name]
        if flat is None:
            per_kind = torch.bincount(weight.kinds.long(), minlength=len(KINDS)) * (weight.size // weight.shape[weight.axis])
        else:
            per_kind = torch.bincount(locate(weight, flat.cpu())[0].long(), minlength=len(KINDS))
        for kind, count in zip(KINDS, per_kind.tolist(), strict=True):
            counts[f"{weight.layer}.{kind}"] += count
    return counts
