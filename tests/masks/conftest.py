"""Eligible weights of a tiny GPT-2: its fused q, k, v makes filters cut through a tensor."""

import pytest
import torch
from transformers import AutoModelForCausalLM, GPT2Config

from memunlearn.models import eligible_weights


@pytest.fixture(scope="session")
def weights():
    config = GPT2Config(
        n_embd=12, n_layer=2, n_head=3, n_inner=20, n_positions=16, vocab_size=31, bos_token_id=0, eos_token_id=0
    )
    return eligible_weights(AutoModelForCausalLM.from_config(config))


@pytest.fixture(scope="session")
def scores(weights):
    generator = torch.Generator().manual_seed(0)
    return {weight.name: torch.randn(weight.shape, generator=generator) for weight in weights}
