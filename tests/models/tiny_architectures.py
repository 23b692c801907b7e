"""Tiny random models of every architecture whose weights are known, with weights drawn from a seed."""

from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedConfig, PreTrainedModel

VOCABULARY = 61
LAYERS = 2
HEADS = 4
HEAD_SIZE = 6
D = HEADS * HEAD_SIZE
MLP = 40
POSITIONS = 32

_SHAPE: dict[str, Any] = {
    "hidden_size": D,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": HEADS,
    "intermediate_size": MLP,
    "max_position_embeddings": POSITIONS,
}
_GROUPED = {**_SHAPE, "num_key_value_heads": 2, "head_dim": HEAD_SIZE, "pad_token_id": 0}
_WINDOWS = {**_GROUPED, "sliding_window": 4, "layer_types": ["sliding_attention", "full_attention"]}
_FALCON = {"hidden_size": D, "num_hidden_layers": LAYERS, "num_attention_heads": HEADS, "ffn_hidden_size": MLP}
_GPT = {"n_embd": D, "n_layer": LAYERS, "n_head": HEADS, "n_inner": MLP, "n_positions": POSITIONS}
_VISION = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2} | {
    "image_size": 8,
    "patch_size": 4,
}

CONFIGS: dict[str, tuple[str, dict[str, Any]]] = {
    "gpt_neo": (
        "gpt_neo",
        {
            "hidden_size": D,
            "num_layers": LAYERS,
            "num_heads": HEADS,
            "intermediate_size": MLP,
            "attention_types": [[["global", "local"], 1]],
            "window_size": 4,
            "max_position_embeddings": POSITIONS,
        },
    ),
    "gpt2": ("gpt2", _GPT),
    "gpt_neox": ("gpt_neox", _SHAPE),
    "llama": ("llama", {**_SHAPE, "num_key_value_heads": 2}),
    "mistral": ("mistral", {**_GROUPED, "sliding_window": 4}),
    "qwen2": ("qwen2", _GROUPED),
    "qwen3": ("qwen3", _GROUPED),
    "gemma": ("gemma", _GROUPED),
    # Caps so low that they matter to the random logits and attention of a tiny model.
    "gemma2": ("gemma2", {**_WINDOWS, "final_logit_softcapping": 2.0, "attn_logit_softcapping": 1.0}),
    "gemma3_text": ("gemma3_text", _WINDOWS),
    "gemma3": (
        "gemma3",
        {"text_config": {**_WINDOWS, "vocab_size": VOCABULARY}, "vision_config": {**_VISION, "image_size": 8}},
    ),
    "olmo": ("olmo", _GROUPED),
    "olmo2": ("olmo2", _GROUPED),
    "olmo3": ("olmo3", _WINDOWS),
    "smollm3": ("smollm3", _GROUPED),
    "granite": ("granite", {**_GROUPED, "logits_scaling": 3.0}),
    "stablelm": ("stablelm", _GROUPED),
    "stablelm, normalized": ("stablelm", {**_GROUPED, "qk_layernorm": True}),
    "cohere": ("cohere", _GROUPED),
    "cohere, normalized": ("cohere", {**_GROUPED, "use_qk_norm": True}),
    "cohere2": ("cohere2", _WINDOWS),
    "starcoder2": ("starcoder2", _GROUPED),
    "phi": ("phi", {**_SHAPE, "num_key_value_heads": 2, "partial_rotary_factor": 0.34}),
    "phi, normalized": ("phi", {**_SHAPE, "partial_rotary_factor": 0.34, "qk_layernorm": True}),
    "phi3": ("phi3", _GROUPED),
    "opt": (
        "opt",
        {
            "hidden_size": D,
            "num_hidden_layers": LAYERS,
            "num_attention_heads": HEADS,
            "ffn_dim": MLP,
            "word_embed_proj_dim": D,
            "max_position_embeddings": POSITIONS,
        },
    ),
    "falcon": ("falcon", {**_FALCON, "new_decoder_architecture": True, "num_kv_heads": 2}),
    "falcon, one kv head": ("falcon", {**_FALCON, "multi_query": True}),
    "falcon, a kv head each": ("falcon", {**_FALCON, "multi_query": False, "alibi": True}),
    "bloom": ("bloom", {"hidden_size": D, "n_layer": LAYERS, "n_head": HEADS}),
    "mpt": ("mpt", {"d_model": D, "n_layers": LAYERS, "n_heads": HEADS, "max_seq_len": POSITIONS, "expansion_ratio": 2}),
    "gptj": ("gptj", {**_GPT, "rotary_dim": 4}),
}
"""By a name of its own: model_type and what its config is told. MLPs of BLOOM and MPT are as wide as they make them."""

FAMILIES = ("gpt_neo", "gpt2", "gpt_neox", "llama")
"""One of each way in which weights lie: plain, transposed and fused, fused by head, gated with grouped k and v."""

EVERY = tuple(CONFIGS)

KV_HEADS = {
    name: 2 if "num_key_value_heads" in told or "num_kv_heads" in told else HEADS for name, (_, told) in CONFIGS.items()
}
KV_HEADS |= {"gemma3": 2, "falcon, one kv head": 1}


def tiny_config(family: str) -> PreTrainedConfig:
    model_type, told = CONFIGS[family]
    return AutoConfig.for_model(model_type, **{"bos_token_id": 0, "eos_token_id": 0, "vocab_size": VOCABULARY} | told)


def tiny_model(family: str, seed: int = 0) -> PreTrainedModel:
    """Evaluation mode, eager attention, weights large enough that every part of the model matters."""
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(seed)
        model = AutoModelForCausalLM.from_config(tiny_config(family), attn_implementation="eager", dtype=torch.float32)
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.2)
    return model.eval()


def some_ids(seed: int = 0, rows: int = 3, length: int = 12) -> torch.Tensor:
    return torch.randint(0, VOCABULARY, (rows, length), generator=torch.Generator().manual_seed(seed))


def some_indices(model: PreTrainedModel, fraction: float = 0.1, seed: int = 0) -> dict[str, torch.Tensor | None]:
    """Random positions in most eligible tensors; one tensor whole, one without any."""
    from memunlearn.models import eligible_weights

    generator = torch.Generator().manual_seed(seed)
    weights = eligible_weights(model)
    chosen: dict[str, torch.Tensor | None] = {}
    for weight in weights:
        picked = torch.randperm(weight.size, generator=generator)[: max(1, round(fraction * weight.size))]
        chosen[weight.name] = picked.sort().values
    chosen[weights[1].name] = None
    del chosen[weights[2].name]
    return chosen


def all_indices(model: PreTrainedModel) -> dict[str, torch.Tensor | None]:
    from memunlearn.models import eligible_weights

    return {weight.name: None for weight in eligible_weights(model)}
