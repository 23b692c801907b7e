"""Tiny random models of every architecture whose weights are known, with weights drawn from a seed."""

import torch
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    GPT2Config,
    GPTNeoConfig,
    GPTNeoXConfig,
    LlamaConfig,
    PreTrainedConfig,
    PreTrainedModel,
)

VOCABULARY = 61
LAYERS = 2
HEADS = 4
HEAD_SIZE = 6
D = HEADS * HEAD_SIZE
MLP = 40
KV_HEADS = {"gpt_neo": 4, "gpt2": 4, "gpt_neox": 4, "llama": 2}
FAMILIES = tuple(KV_HEADS)
LLAMA_LIKE = ("mistral", "qwen2", "qwen3", "gemma2", "olmo2", "smollm3", "phi3")


def tiny_config(family: str) -> PreTrainedConfig:
    ends = {"bos_token_id": 0, "eos_token_id": 0, "vocab_size": VOCABULARY}
    if family == "gpt_neo":
        return GPTNeoConfig(
            hidden_size=D,
            num_layers=LAYERS,
            num_heads=HEADS,
            intermediate_size=MLP,
            attention_types=[[["global", "local"], 1]],
            window_size=4,
            max_position_embeddings=32,
            **ends,
        )
    if family == "gpt2":
        return GPT2Config(n_embd=D, n_layer=LAYERS, n_head=HEADS, n_inner=MLP, n_positions=32, **ends)
    shape = {
        "hidden_size": D,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": HEADS,
        "intermediate_size": MLP,
        "max_position_embeddings": 32,
    }
    if family == "gpt_neox":
        return GPTNeoXConfig(**shape, **ends)
    if family == "llama":
        return LlamaConfig(**shape, num_key_value_heads=KV_HEADS["llama"], **ends)
    return AutoConfig.for_model(family, **shape, num_key_value_heads=2, head_dim=HEAD_SIZE, pad_token_id=0, **ends)


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
