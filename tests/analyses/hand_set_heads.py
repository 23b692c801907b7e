"""Tiny models in which a head's attention is set by hand to follow a number that each token carries in its embedding."""

import tiny_architectures as tiny
import torch

CARRIES, CONSTANT = 0, 1  # two dimensions of the residual stream


def token_frequency(seed=3) -> torch.Tensor:
    """[V] int64, all different: some tokens are rare, some frequent."""
    return torch.randperm(tiny.VOCABULARY, generator=torch.Generator().manual_seed(seed)) * 7 + 1


def model_whose_heads_follow_rarity(family: str, strengths: dict[tuple[int, int], float], seed=0):
    """A gpt_neo or gpt2 whose heads (layer, head) attend to rare tokens the more the higher their strength (< 0: frequent)."""
    model = tiny.tiny_model(family, seed)
    frequency = token_frequency().double()
    rarity = (frequency.mean() - frequency) / frequency.std()
    with torch.no_grad():
        model.transformer.wte.weight[:, CARRIES] = 1.5 * rarity.float()
        model.transformer.wpe.weight[:, CARRIES] = 0
        for block in model.transformer.h:
            # Nothing else writes where the rarity is carried.
            attention = block.attn.attention if family == "gpt_neo" else block.attn
            for out in (attention.out_proj if family == "gpt_neo" else attention.c_proj, block.mlp.c_proj):
                weight = out.weight if family == "gpt_neo" else out.weight.T
                weight[CARRIES] = 0
                out.bias[CARRIES] = 0
            # The norm gives 1 here whatever comes in, so that a query can be a constant.
            block.ln_1.weight[CONSTANT] = 0
            block.ln_1.bias[CONSTANT] = 1
        for (layer, head), strength in strengths.items():
            block = model.transformer.h[layer]
            rows = slice(head * tiny.HEAD_SIZE, (head + 1) * tiny.HEAD_SIZE)
            if family == "gpt_neo":
                query, key = (p.weight[rows] for p in (block.attn.attention.q_proj, block.attn.attention.k_proj))
            else:
                fused = block.attn.c_attn
                query, key, _ = (part[rows] for part in fused.weight.T.split(tiny.D))
                fused.bias[: 2 * tiny.D].view(2, tiny.D)[:, rows] = 0
            query.zero_()
            key.zero_()
            query[0, CONSTANT] = 1
            key[0, CARRIES] = strength
    return model
