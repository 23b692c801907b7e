"""A baked checkpoint is the trained model, bit for bit, to somebody who has no memunlearn."""

import copy
import os
import subprocess
import sys

import pytest
import tiny_architectures as tiny
import torch

from memunlearn.errors import UserError
from memunlearn.models import attach, bake, base_parameters, delta_parameters, is_attached, save_baked
from memunlearn.models.baking import plain_base

CHOICES = {"sparse": tiny.some_indices, "all": tiny.all_indices}

FRESH_INTERPRETER = """
import sys
sys.modules["memunlearn"] = None
import torch
from transformers import AutoModelForCausalLM
for directory in sys.argv[2:]:
    model, info = AutoModelForCausalLM.from_pretrained(directory, output_loading_info=True, attn_implementation="eager")
    assert not info["missing_keys"] and not info["unexpected_keys"], info
    assert {p.dtype for p in model.parameters()} == {torch.float32}
    with torch.no_grad():
        got = model.eval()(torch.load(sys.argv[1])).logits
    assert torch.equal(got, torch.load(directory + "/expected.pt")), directory
print("same", len(sys.argv) - 2)
"""


def with_random_deltas(base, choice):
    model = copy.deepcopy(base)
    attach(model, CHOICES[choice](model))
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for delta in delta_parameters(model).values():
            delta.copy_(torch.randn(delta.shape, generator=generator) * 0.1)
    return model


def logits(model):
    with torch.no_grad():
        return model(tiny.some_ids(seed=9)).logits


@pytest.mark.slow
def test_baked_checkpoints_in_a_fresh_interpreter(tmp_path):
    torch.save(tiny.some_ids(seed=9), tmp_path / "ids.pt")
    directories = []
    for family in tiny.FAMILIES:
        for choice in CHOICES:
            model = with_random_deltas(tiny.tiny_model(family), choice)
            directory = tmp_path / f"{family}_{choice}"
            save_baked(model, directory)
            torch.save(logits(model), directory / "expected.pt")
            directories.append(str(directory))
    command = [sys.executable, "-c", FRESH_INTERPRETER, str(tmp_path / "ids.pt"), *directories]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert done.stdout.strip() == f"same {len(directories)}", done.stderr


@pytest.mark.parametrize("choice", CHOICES)
@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_baking_leaves_the_model_as_it_is(family, choice):
    base = tiny.tiny_model(family)
    model = with_random_deltas(base, choice)
    before = logits(model)
    plain = bake(model)
    assert not is_attached(plain) and is_attached(model)
    assert torch.equal(logits(plain), before)
    assert {n for n, _ in plain.named_parameters()} == {n for n, _ in base.named_parameters()}
    with torch.no_grad():
        for parameter in plain.parameters():
            parameter.mul_(0.5)
    assert torch.equal(logits(model), before)
    for name, parameter in base_parameters(base).items():
        assert torch.equal(parameter, base_parameters(model)[name])
        assert not base_parameters(model)[name].requires_grad


@pytest.mark.parametrize("choice", CHOICES)
@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_the_plain_base_is_the_model_that_deltas_were_put_on(family, choice):
    base = tiny.tiny_model(family)
    model = with_random_deltas(base, choice)
    before = logits(model)
    plain = plain_base(model)
    assert not is_attached(plain) and torch.equal(logits(plain), logits(base)) and not torch.equal(before, logits(base))
    for name, parameter in base_parameters(base).items():
        assert torch.equal(parameter, base_parameters(plain)[name])
    with torch.no_grad():
        for parameter in plain.parameters():
            parameter.mul_(0.5)
    assert torch.equal(logits(model), before) and is_attached(model)


def test_nothing_is_overwritten_and_nothing_half_written_stays(tmp_path, monkeypatch):
    model = with_random_deltas(tiny.tiny_model("gpt_neo"), "sparse")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "notes.txt").write_text("mine")
    with pytest.raises(UserError, match="not empty"):
        save_baked(model, tmp_path / "full")
    with pytest.raises(UserError, match="is a file"):
        save_baked(model, tmp_path / "full" / "notes.txt")
    (tmp_path / "empty").mkdir()
    save_baked(model, tmp_path / "empty")
    assert (tmp_path / "empty" / "model.safetensors").is_file()

    def fail(*arguments):
        raise OSError("no space left on device")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(UserError, match="no space"):
        save_baked(model, tmp_path / "broken")
    assert sorted(os.listdir(tmp_path)) == ["empty", "full"]


def test_a_weight_that_float16_cannot_hold_is_refused(tmp_path):
    model = tiny.tiny_model("gpt2")
    with torch.no_grad():
        model.transformer.h[0].mlp.c_fc.weight[0, 0] = 1e6
    with pytest.raises(UserError, match="h.0.mlp.c_fc.weight holds a weight that float16 cannot"):
        save_baked(model, tmp_path / "out", dtype=torch.float16)
    assert not (tmp_path / "out").exists()
