"""Where each architecture keeps its attention and MLP weights, and how heads are laid out in them."""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from memunlearn.errors import UserError

KINDS = ("q", "k", "v", "out", "mlp_in", "mlp_out")
"""What a weight can be; the codes in `WeightTensor.kinds` are positions in this tuple."""

LAYOUTS = (*KINDS, "qkv", "qkv_per_head")
"""What a pattern can name: one kind, or a fused tensor: `qkv` is all q, then all k, then all v;
`qkv_per_head` is q, k, v of head 0, then q, k, v of head 1, and so on."""

_GPT_NEO = {
    "transformer.h.{layer}.attn.attention.q_proj.weight": "q",
    "transformer.h.{layer}.attn.attention.k_proj.weight": "k",
    "transformer.h.{layer}.attn.attention.v_proj.weight": "v",
    "transformer.h.{layer}.attn.attention.out_proj.weight": "out",
    "transformer.h.{layer}.mlp.c_fc.weight": "mlp_in",
    "transformer.h.{layer}.mlp.c_proj.weight": "mlp_out",
}
_GPT2 = {
    "transformer.h.{layer}.attn.c_attn.weight": "qkv",
    "transformer.h.{layer}.attn.c_proj.weight": "out",
    "transformer.h.{layer}.mlp.c_fc.weight": "mlp_in",
    "transformer.h.{layer}.mlp.c_proj.weight": "mlp_out",
}
_GPT_NEOX = {
    "gpt_neox.layers.{layer}.attention.query_key_value.weight": "qkv_per_head",
    "gpt_neox.layers.{layer}.attention.dense.weight": "out",
    "gpt_neox.layers.{layer}.mlp.dense_h_to_4h.weight": "mlp_in",
    "gpt_neox.layers.{layer}.mlp.dense_4h_to_h.weight": "mlp_out",
}
_LLAMA = {
    "model.layers.{layer}.self_attn.q_proj.weight": "q",
    "model.layers.{layer}.self_attn.k_proj.weight": "k",
    "model.layers.{layer}.self_attn.v_proj.weight": "v",
    "model.layers.{layer}.self_attn.o_proj.weight": "out",
    "model.layers.{layer}.mlp.gate_proj.weight": "mlp_in",
    "model.layers.{layer}.mlp.up_proj.weight": "mlp_in",
    "model.layers.{layer}.mlp.down_proj.weight": "mlp_out",
}
_PHI3 = {
    "model.layers.{layer}.self_attn.qkv_proj.weight": "qkv",
    "model.layers.{layer}.self_attn.o_proj.weight": "out",
    "model.layers.{layer}.mlp.gate_up_proj.weight": "mlp_in",
    "model.layers.{layer}.mlp.down_proj.weight": "mlp_out",
}

BUILT_IN: Mapping[str, Mapping[str, str]] = {
    "gpt_neo": _GPT_NEO,
    "gpt2": _GPT2,
    "gpt_neox": _GPT_NEOX,
    "llama": _LLAMA,
    "mistral": _LLAMA,
    "qwen2": _LLAMA,
    "qwen3": _LLAMA,
    "gemma2": _LLAMA,
    "olmo2": _LLAMA,
    "smollm3": _LLAMA,
    "phi3": _PHI3,
}
"""`config.model_type` -> {weight name with `{layer}` -> layout}. `model.patterns` takes the same kind of table."""


def patterns_for(model: nn.Module, patterns: Mapping[str, str] | None = None) -> Mapping[str, str]:
    """The table of weights of this model: the caller's own, or the built-in one of its `config.model_type`.

    Raises UserError if there is neither, or the caller's names an unknown layout or lacks `{layer}`.
    """
    if patterns is None:
        model_type = str(getattr(getattr(model, "config", None), "model_type", None))
        if model_type not in BUILT_IN:
            raise UserError(
                f"{type(model).__name__} (model_type {model_type}) is not among the architectures whose weights are known here "
                f"({', '.join(BUILT_IN)}): describe its weights in model.patterns, a mapping such as "
                f"{{'model.layers.{{layer}}.self_attn.q_proj.weight': q}} to one of {', '.join(LAYOUTS)}"
            )
        return BUILT_IN[model_type]
    check_patterns(patterns)
    return patterns


def check_patterns(patterns: Mapping[str, str]) -> None:
    """Raises UserError if a table of the caller's is none, names an unknown layout or lacks `{layer}`."""
    if not isinstance(patterns, Mapping) or not patterns:
        raise UserError(
            f"model.patterns={patterns} is no table: write a mapping such as "
            f"{{'model.layers.{{layer}}.self_attn.q_proj.weight': q}} to one of {', '.join(LAYOUTS)}"
        )
    for pattern, layout in patterns.items():
        if layout not in LAYOUTS:
            raise UserError(f"model.patterns: {pattern} is said to be '{layout}': use one of {', '.join(LAYOUTS)}")
        if str(pattern).count("{layer}") != 1:
            raise UserError(f"model.patterns: '{pattern}' needs {{layer}} once, where the number of the layer stands")


def layer_of(name: str, pattern: str) -> int | None:
    """The layer number in `name` if it fits `pattern`, else None."""
    before, _, after = pattern.partition("{layer}")
    match = re.fullmatch(re.escape(before) + r"(\d+)" + re.escape(after), name)
    return int(match[1]) if match else None


def axis_labels(layout: str, size: int, heads: int, kv_heads: int) -> tuple[Tensor, Tensor]:
    """Kind and head of each of the `size` indices along the axis on which they change.

    Returns (codes into KINDS, int8 [size]; heads, int64 [size], -1 in MLPs). With grouped attention the heads of k and v
    are the kv heads, 0 .. kv_heads - 1. Raises ValueError if `size` does not divide into the heads.
    """
    if layout in ("mlp_in", "mlp_out"):
        return torch.full((size,), KINDS.index(layout), dtype=torch.int8), torch.full((size,), -1, dtype=torch.int64)
    runs = _head_runs(layout, heads, kv_heads)
    if size % len(runs):
        raise ValueError(f"{size} indices do not divide into {len(runs)} heads")
    head_size = size // len(runs)
    kinds = torch.tensor([KINDS.index(kind) for kind, _ in runs], dtype=torch.int8)
    head_numbers = torch.tensor([head for _, head in runs], dtype=torch.int64)
    return kinds.repeat_interleave(head_size), head_numbers.repeat_interleave(head_size)


def _head_runs(layout: str, heads: int, kv_heads: int) -> list[tuple[str, int]]:
    """(kind, head) of each run of head_size indices, in the order in which they lie."""
    count = {"q": heads, "k": kv_heads, "v": kv_heads, "out": heads}
    if layout == "qkv":
        return [(kind, head) for kind in "qkv" for head in range(count[kind])]
    if layout == "qkv_per_head":
        return [(kind, head) for head in range(heads) for kind in "qkv"]
    return [(layout, head) for head in range(count[layout])]
