"""Where each architecture keeps its attention and MLP weights, and how heads are laid out in them."""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from memunlearn.errors import UserError
from memunlearn.models.guessed_patterns import as_override, guessed_patterns

KINDS = ("q", "k", "v", "out", "mlp_in", "mlp_out")
"""What a weight can be; the codes in `WeightTensor.kinds` are positions in this tuple."""

LAYOUTS = (*KINDS, "qkv", "qkv_per_head")
"""What a pattern can name: one kind, or a fused tensor: `qkv` is all q, then all k, then all v;
`qkv_per_head` is all q that read k and v of head 0, that k, that v, then the same of head 1, and so on."""

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
_STARCODER2 = {
    "model.layers.{layer}.self_attn.q_proj.weight": "q",
    "model.layers.{layer}.self_attn.k_proj.weight": "k",
    "model.layers.{layer}.self_attn.v_proj.weight": "v",
    "model.layers.{layer}.self_attn.o_proj.weight": "out",
    "model.layers.{layer}.mlp.c_fc.weight": "mlp_in",
    "model.layers.{layer}.mlp.c_proj.weight": "mlp_out",
}
_PHI = {
    "model.layers.{layer}.self_attn.q_proj.weight": "q",
    "model.layers.{layer}.self_attn.k_proj.weight": "k",
    "model.layers.{layer}.self_attn.v_proj.weight": "v",
    "model.layers.{layer}.self_attn.dense.weight": "out",
    "model.layers.{layer}.mlp.fc1.weight": "mlp_in",
    "model.layers.{layer}.mlp.fc2.weight": "mlp_out",
}
_PHI3 = {
    "model.layers.{layer}.self_attn.qkv_proj.weight": "qkv",
    "model.layers.{layer}.self_attn.o_proj.weight": "out",
    "model.layers.{layer}.mlp.gate_up_proj.weight": "mlp_in",
    "model.layers.{layer}.mlp.down_proj.weight": "mlp_out",
}
_OPT = {
    "model.decoder.layers.{layer}.self_attn.q_proj.weight": "q",
    "model.decoder.layers.{layer}.self_attn.k_proj.weight": "k",
    "model.decoder.layers.{layer}.self_attn.v_proj.weight": "v",
    "model.decoder.layers.{layer}.self_attn.out_proj.weight": "out",
    "model.decoder.layers.{layer}.fc1.weight": "mlp_in",
    "model.decoder.layers.{layer}.fc2.weight": "mlp_out",
}
_FALCON = {  # BLOOM, too
    "transformer.h.{layer}.self_attention.query_key_value.weight": "qkv_per_head",
    "transformer.h.{layer}.self_attention.dense.weight": "out",
    "transformer.h.{layer}.mlp.dense_h_to_4h.weight": "mlp_in",
    "transformer.h.{layer}.mlp.dense_4h_to_h.weight": "mlp_out",
}
_MPT = {
    "transformer.blocks.{layer}.attn.Wqkv.weight": "qkv",
    "transformer.blocks.{layer}.attn.out_proj.weight": "out",
    "transformer.blocks.{layer}.ffn.up_proj.weight": "mlp_in",
    "transformer.blocks.{layer}.ffn.down_proj.weight": "mlp_out",
}
_GPTJ = {
    "transformer.h.{layer}.attn.q_proj.weight": "q",
    "transformer.h.{layer}.attn.k_proj.weight": "k",
    "transformer.h.{layer}.attn.v_proj.weight": "v",
    "transformer.h.{layer}.attn.out_proj.weight": "out",
    "transformer.h.{layer}.mlp.fc_in.weight": "mlp_in",
    "transformer.h.{layer}.mlp.fc_out.weight": "mlp_out",
}

BUILT_IN: Mapping[str, Mapping[str, str]] = {
    "gpt_neo": _GPT_NEO,
    "gpt2": _GPT2,
    "gpt_neox": _GPT_NEOX,
    "llama": _LLAMA,
    "mistral": _LLAMA,
    "qwen2": _LLAMA,
    "qwen3": _LLAMA,
    "gemma": _LLAMA,
    "gemma2": _LLAMA,
    "gemma3_text": _LLAMA,
    "gemma3": {name.replace("model.", "model.language_model.", 1): kind for name, kind in _LLAMA.items()},  # reads images, too
    "olmo": _LLAMA,
    "olmo2": _LLAMA,
    "olmo3": _LLAMA,
    "smollm3": _LLAMA,
    "granite": _LLAMA,
    "stablelm": _LLAMA,
    "cohere": _LLAMA,
    "cohere2": _LLAMA,
    "starcoder2": _STARCODER2,
    "phi": _PHI,
    "phi3": _PHI3,
    "opt": _OPT,
    "falcon": _FALCON,
    "bloom": _FALCON,
    "mpt": _MPT,
    "gptj": _GPTJ,
}
"""`config.model_type` -> {weight name with `{layer}` -> layout}. `model.patterns` takes the same kind of table."""


def patterns_for(model: nn.Module, patterns: Mapping[str, str] | None = None) -> Mapping[str, str]:
    """The table of weights of this model: the caller's own, or the built-in one of its `config.model_type`.

    Raises UserError if there is neither, or the caller's names an unknown layout or lacks `{layer}`.
    """
    if patterns is None:
        model_type = str(getattr(getattr(model, "config", None), "model_type", None))
        if model_type not in BUILT_IN:
            raise UserError(_unknown(model, model_type))
        return BUILT_IN[model_type]
    check_patterns(patterns)
    return patterns


def _unknown(model: nn.Module, model_type: str) -> str:
    table, unknown = guessed_patterns(model)
    which = f"{type(model).__name__} (model_type {model_type}) is not among the architectures whose weights are known here"
    if not table:
        return (
            f"{which} ({', '.join(BUILT_IN)}): describe its weights in model.patterns, a mapping such as "
            f"{as_override({'model.layers.{layer}.self_attn.q_proj.weight': 'q'})} to one of {', '.join(LAYOUTS)}"
        )
    left_out = f" (not told by their names, one of {', '.join(LAYOUTS)}: {', '.join(unknown)})" if unknown else ""
    return f"{which}: check what its matrices are by their names{left_out}, and add {as_override(table)}"


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
        group = heads // kv_heads
        q_heads = [range(head * group, (head + 1) * group) for head in range(kv_heads)]
        return [
            run for head in range(kv_heads) for run in (*(("q", q_head) for q_head in q_heads[head]), ("k", head), ("v", head))
        ]
    return [(layout, head) for head in range(count[layout])]
