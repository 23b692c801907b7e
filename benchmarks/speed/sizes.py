"""GPT-Neo models of known sizes with random weights, and rows that they recite."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import GPTNeoConfig, GPTNeoForCausalLM, PreTrainedModel

from memunlearn.paragraphs.paragraph_set import ParagraphSet


@dataclass(frozen=True)
class Size:
    """Of a GPT-Neo: layers L, hidden size D, heads, vocabulary V."""

    layers: int
    hidden: int
    heads: int
    vocabulary: int

    @property
    def eligible(self) -> int:
        """Weights of attention and MLP, 12 L D^2: what a mask may choose from."""
        return 12 * self.layers * self.hidden**2

    @property
    def weights(self) -> int:
        """All of them, but for norms, biases and positions: the eligible ones and the tied embedding."""
        return self.eligible + self.vocabulary * self.hidden


SIZES = {
    "tiny": Size(2, 32, 4, 61),
    "demo": Size(4, 128, 4, 2048),
    "30m": Size(6, 384, 6, 50257),
    "125m": Size(12, 768, 12, 50257),
    "1.3b": Size(24, 2048, 16, 50257),
}


def random_model(size: Size, device: str = "cpu") -> PreTrainedModel:
    """The same weights each time, fp32; every second layer local, as the published ones have it."""
    torch.manual_seed(0)
    kinds = [[["global", "local"], size.layers // 2]]
    config = GPTNeoConfig(
        vocab_size=size.vocabulary,
        hidden_size=size.hidden,
        num_layers=size.layers,
        num_heads=size.heads,
        attention_types=kinds,
        bos_token_id=None,
        eos_token_id=None,
    )
    model: PreTrainedModel = GPTNeoForCausalLM(config).eval()
    model.to(device)  # type: ignore[arg-type]
    return model


def decoded(model: PreTrainedModel, prefixes: Tensor, length: int) -> Tensor:
    """`generate` as a user calls it: exactly so many greedy tokens [N, length] after each prefix [N, P], on the CPU."""
    ids = prefixes.to(model.device)
    generate: Any = model.generate
    out: Tensor = generate(
        ids,
        attention_mask=torch.ones_like(ids),
        max_new_tokens=length,
        do_sample=False,
        use_cache=True,
    )
    return out[:, ids.shape[1] :].cpu()


@dataclass(frozen=True)
class Lengths:
    """Tokens of a row: prefix P, continuation C."""

    prefix: int
    continuation: int

    @property
    def read(self) -> int:
        """Tokens that a pass reads of a row: the last one predicts nothing."""
        return self.prefix + self.continuation - 1


def random_rows(size: Size, lengths: Lengths, count: int, seed: int = 0) -> ParagraphSet:
    """[count, P + C] tokens, drawn uniformly."""
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(size.vocabulary, (count, lengths.prefix + lengths.continuation), generator=generator)
    return ParagraphSet(ids, lengths.prefix, tuple(f"row {number}" for number in range(count)))


def recited_rows(model: PreTrainedModel, size: Size, lengths: Lengths, count: int) -> ParagraphSet:
    """Rows whose continuation the model says itself: the first, third, ... to the end; in each other one a token, at a place
    that is drawn, is another. So EM is anything from 0 to C, of a model that was never trained."""
    rows = random_rows(size, lengths, count)
    ids = rows.ids.clone()
    ids[:, lengths.prefix :] = decoded(model, rows.prefixes, lengths.continuation)
    places = torch.randint(lengths.continuation, (count,), generator=torch.Generator().manual_seed(1)) + lengths.prefix
    changed = torch.arange(1, count, 2)
    ids[changed, places[changed]] = (ids[changed, places[changed]] + 1) % size.vocabulary
    return ParagraphSet(ids, lengths.prefix, rows.origin)
