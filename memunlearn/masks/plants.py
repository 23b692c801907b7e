"""Where paragraphs are planted for `known_answer`: weights drawn with a seed, chosen by no attribution."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from memunlearn.masks.selection import Mask, select_all, select_random
from memunlearn.models.architectures import KINDS
from memunlearn.models.components import WeightTensor
from memunlearn.models.filters import Filter, passing_positions
from memunlearn.paragraphs.cluster_choice import number_generator

PLANTS = ("scattered", "mlp", "head")


@dataclass(frozen=True, eq=False)
class Plant:
    """name: one of PLANTS. place: which it is, in words, such as `layer 2, head 1`. mask: its weights."""

    name: str
    place: str
    mask: Mask


def draw_plant(name: str, weights: Sequence[WeightTensor], fraction: float, seed: int) -> Plant:
    """The plant of this name and seed; every weight, layer or head is as likely as any other.

    scattered: exactly round(fraction x eligible) random weights. mlp: MLP in and out of one layer. head: q, k, v and out of
    one attention head; with grouped attention the k and v that it reads, which it shares with the other heads of its group.
    The same seed gives the same plant everywhere. Raises UserError if the fraction is not even one weight.
    """
    generator = number_generator(seed, f"plant {name}")
    if name == "scattered":
        mask = select_random(weights, fraction, seed=int(generator.integers(2**32)))
        return Plant(name, f"{fraction:.2%} of all eligible weights", mask)
    layer = int(generator.choice(sorted({weight.layer for weight in weights})))
    if name == "mlp":
        return Plant(name, f"layer {layer}", select_all(weights, Filter(layers=[layer], components=["mlp_in", "mlp_out"])))
    heads, kv_heads = _count_heads(weights, "q"), _count_heads(weights, "k")
    head = int(generator.integers(heads))
    asking = passing_positions(weights, Filter([layer], ["q", "out"], [head]))
    asked = passing_positions(weights, Filter([layer], ["k", "v"], [head * kv_heads // heads]))
    return Plant(name, f"layer {layer}, head {head}", _together(asking, asked, weights))


def _count_heads(weights: Sequence[WeightTensor], kind: str) -> int:
    of_kind = (weight.heads[weight.kinds == KINDS.index(kind)] for weight in weights if kind in weight.kind_names)
    return 1 + max(int(heads.max()) for heads in of_kind)


def _together(one: Mapping[str, Tensor | None], other: Mapping[str, Tensor | None], weights: Sequence[WeightTensor]) -> Mask:
    """Both selections, which have no weight in common: fused q, k, v lie in one tensor."""
    sizes = {weight.name: weight.size for weight in weights}
    indices: dict[str, Tensor | None] = {}
    for name in [*one, *(name for name in other if name not in one)]:
        parts = [chosen[name] for chosen in (one, other) if name in chosen]
        whole = [part for part in parts if part is not None]
        indices[name] = torch.cat(whole).sort().values if len(whole) == len(parts) else None
    counts = {name: sizes[name] if flat is None else len(flat) for name, flat in indices.items()}
    return Mask(indices, counts, sum(sizes.values()))
