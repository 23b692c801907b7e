"""Telling models apart: by what they compute, not by where they lie."""

import copy

import pytest
import tiny_architectures as tiny

from memunlearn.models.fingerprints import architecture_fingerprint, fingerprint
from memunlearn.models.loading import load_model


@pytest.mark.parametrize("name", ["gpt_neo", "gpt2", "gpt_neox", "llama"])
def test_a_model_that_was_saved_and_moved_is_the_same(name, tmp_path):
    model = tiny.tiny_model(name)
    model.save_pretrained(tmp_path / "first")
    first = load_model(str(tmp_path / "first"))
    first.save_pretrained(tmp_path / "second")
    second = load_model(str(tmp_path / "second"))
    assert architecture_fingerprint(first) == architecture_fingerprint(second)
    assert fingerprint(first) == fingerprint(second) == fingerprint(model)


def test_what_the_weights_do_not_tell_is_told_by_the_config():
    model = tiny.tiny_model("gpt_neo")
    seen = {architecture_fingerprint(model)}
    for setting, value in (
        ("window_size", 3),
        ("activation_function", "relu"),
        ("eos_token_id", 5),
        ("layer_norm_epsilon", 1e-3),
    ):
        other = copy.deepcopy(model)
        assert getattr(other.config, setting) != value
        setattr(other.config, setting, value)
        assert fingerprint(other) == fingerprint(model)
        seen.add(architecture_fingerprint(other))
    assert len(seen) == 5
    assert len({architecture_fingerprint(tiny.tiny_model(name)) for name in ("gpt_neo", "gpt2", "llama")}) == 3
