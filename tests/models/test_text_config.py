"""What a config says of text, where architectures keep it."""

import pytest
import tiny_architectures as tiny
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from memunlearn.errors import UserError
from memunlearn.models.text_config import context_length, end_tokens, head_counts, hidden_size, vocabulary_size


@pytest.mark.parametrize("family", tiny.EVERY)
def test_sizes_are_those_of_the_model(family):
    model = tiny.tiny_model(family)
    with torch.no_grad():
        out = model(input_ids=tiny.some_ids(), output_hidden_states=True, output_attentions=True)
    assert vocabulary_size(model) == out.logits.shape[-1] == tiny.VOCABULARY
    assert hidden_size(model) == out.hidden_states[0].shape[-1]
    assert head_counts(model) == (out.attentions[0].shape[1], tiny.KV_HEADS[family])


@pytest.mark.parametrize("family", ["gpt_neo", "gpt2", "opt", "mpt"])
def test_more_than_the_context_cannot_be_read(family):
    model = tiny.tiny_model(family)
    assert context_length(model) == tiny.POSITIONS
    ids = tiny.some_ids(rows=1, length=tiny.POSITIONS + 1)
    with torch.no_grad():
        model(input_ids=ids[:, :-1])
        with pytest.raises((IndexError, RuntimeError)):
            model(input_ids=ids)


def test_without_a_limit_there_is_none():
    model = tiny.tiny_model("bloom")
    assert context_length(model) is None
    with torch.no_grad():
        model(input_ids=tiny.some_ids(rows=1, length=70))


def test_ends_are_a_list():
    model = tiny.tiny_model("llama")
    for said, expected in ((None, []), (3, [3]), ([4, 2], [4, 2])):
        model.config.eos_token_id = said
        assert end_tokens(model) == expected


def test_a_config_without_heads_is_named():
    config = AutoConfig.for_model("mamba", hidden_size=24, num_hidden_layers=2, vocab_size=61)
    model = AutoModelForCausalLM.from_config(config)
    with pytest.raises(UserError, match="MambaForCausalLM does not say num_attention_heads"):
        head_counts(model)
