"""Greedy decoding is the argmax and nothing else, whatever the checkpoint's own settings say."""

import naive_scoring as naive
import pytest
import tiny_architectures as tiny
import torch
from transformers import GenerationConfig

from memunlearn.scoring.greedy import greedy_continuations, own_continuations
from memunlearn.scoring.score import score

OWN_SETTINGS = {
    "repetition_penalty": {"repetition_penalty": 5.0},
    "no_repeat_ngram_size": {"no_repeat_ngram_size": 1},
    "suppress_tokens": {"suppress_tokens": list(range(1, 40))},
    "sampling": {"do_sample": True, "temperature": 5.0, "top_k": 61},
    "forced_eos": {"forced_eos_token_id": 5, "eos_token_id": 5},
}


@pytest.mark.parametrize("settings", OWN_SETTINGS.values(), ids=list(OWN_SETTINGS))
def test_the_checkpoints_own_settings_are_set_aside_and_put_back(settings):
    model, prefixes = tiny.tiny_model("gpt_neo"), tiny.some_ids(3, rows=4, length=5)
    expected = torch.stack([naive.greedy(model, prefix, 9)[0] for prefix in prefixes])
    own = GenerationConfig(max_new_tokens=9, **settings)
    model.generation_config = own
    torch.manual_seed(0)
    misled = model.generate(prefixes, attention_mask=torch.full_like(prefixes, 1), pad_token_id=0)[:, 5:]
    assert misled.shape != expected.shape or not torch.equal(misled, expected)
    assert torch.equal(greedy_continuations(model, prefixes, 9, batch_size=3), expected)
    assert model.generation_config is own


def test_settings_are_put_back_after_an_error():
    model = tiny.tiny_model("gpt_neo")
    own = model.generation_config
    with pytest.raises(IndexError):
        greedy_continuations(model, torch.tensor([[1, tiny.VOCABULARY]]), 3)
    assert model.generation_config is own


def test_rows_stay_in_order_and_need_no_gradient():
    model, prefixes = tiny.tiny_model("llama"), tiny.some_ids(4, rows=7, length=3)
    whole = greedy_continuations(model, prefixes, 6, batch_size=7)
    assert torch.equal(greedy_continuations(model, prefixes, 6, batch_size=2, description="decoding"), whole)
    assert len({tuple(row) for row in whole.tolist()}) > 3
    assert torch.equal(greedy_continuations(model, prefixes.flip(0), 6), whole.flip(0))


def test_own_continuations_are_decoded_only_where_they_differ(half_trained, sets, monkeypatch):
    rows = sets.forget
    em = score(half_trained, rows).em
    decoded = []

    def counting(model, prefixes, *rest):
        decoded.append(len(prefixes))
        return greedy_continuations(model, prefixes, *rest)

    monkeypatch.setattr("memunlearn.scoring.greedy.greedy_continuations", counting)
    own = own_continuations(half_trained, rows, em)
    assert 0 < sum(decoded) == int((em < 9).sum()) < len(rows)
    assert torch.equal(own.prefixes, rows.prefixes) and own.origin == rows.origin
    for row in range(len(rows)):
        assert torch.equal(own.continuations[row], naive.greedy(half_trained, rows.prefixes[row], 9)[0])
