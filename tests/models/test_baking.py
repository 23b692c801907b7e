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
from memunlearn.models.__main__ import main
from memunlearn.models.baking import plain_base
from memunlearn.models.patches import capture_patch, save_patch

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


def test_command_bakes_a_checkpoint(tmp_path, capsys):
    from transformers import AutoModelForCausalLM

    base = tiny.tiny_model("gpt2")
    base.save_pretrained(tmp_path / "base")
    model = with_random_deltas(base, "sparse")
    save_patch(tmp_path / "patch.safetensors", capture_patch(model, {}))
    arguments = ["apply", "--base", str(tmp_path / "base"), "--patch", str(tmp_path / "patch.safetensors")]
    assert main([*arguments, "--out", str(tmp_path / "baked")]) == 0
    said = capsys.readouterr().out
    assert said.count("\n") == 1 and str(tmp_path / "baked") in said
    baked = AutoModelForCausalLM.from_pretrained(tmp_path / "baked", attn_implementation="eager").eval()
    assert torch.equal(logits(baked), logits(model))


def test_command_says_one_line_and_ends_with_2(tmp_path, capsys):
    tiny.tiny_model("gpt2", seed=1).save_pretrained(tmp_path / "other")
    model = with_random_deltas(tiny.tiny_model("gpt2"), "sparse")
    patch = tmp_path / "patch.safetensors"
    save_patch(patch, capture_patch(model, {}))
    capsys.readouterr()
    for base, out, says in [
        (tmp_path / "other", tmp_path / "out", "another base"),
        (tmp_path / "none", tmp_path / "out", "no folder"),
        (tmp_path / "other", tmp_path, "not empty"),
    ]:
        assert main(["apply", "--base", str(base), "--patch", str(patch), "--out", str(out)]) == 2
        error = capsys.readouterr().err.strip().splitlines()[-1]
        assert error.startswith("error: ") and says in error
        assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_a_checkpoint_can_be_written_in_16_bits_and_it_is_said_what_that_loses(tmp_path, capsys, dtype):
    from transformers import AutoModelForCausalLM

    base = tiny.tiny_model("gpt2")
    base.save_pretrained(tmp_path / "base")
    model = with_random_deltas(base, "sparse")
    with torch.no_grad():
        for delta in delta_parameters(model).values():
            delta.flatten()[::3] *= 1e-6  # below what 16 bits tell apart
    patch = capture_patch(model, {})
    save_patch(tmp_path / "patch.safetensors", patch)
    arguments = ["apply", "--base", str(tmp_path / "base"), "--patch", str(tmp_path / "patch.safetensors"), "--dtype", dtype]
    assert main([*arguments, "--out", str(tmp_path / "baked")]) == 0
    said = capsys.readouterr().out
    baked = AutoModelForCausalLM.from_pretrained(tmp_path / "baked", dtype="auto")
    kind = getattr(torch, dtype)
    lost = 0
    plain = dict(bake(model).named_parameters())
    for name, parameter in baked.named_parameters():
        assert parameter.dtype is kind and torch.equal(parameter, plain[name].to(kind))
        same = (base.get_parameter(name).to(kind) == parameter).flatten()
        if name in patch.deltas:
            flat = patch.indices[name]
            places = range(len(same)) if flat is None else flat.tolist()
            deltas = patch.deltas[name].flatten().tolist()
            lost += sum(bool(same[place]) and delta != 0 for place, delta in zip(places, deltas, strict=True))
    assert lost > 100 and f"as {dtype} {lost:,} of them are the base's again" in said


def test_a_weight_that_float16_cannot_hold_is_refused(tmp_path):
    model = tiny.tiny_model("gpt2")
    with torch.no_grad():
        model.transformer.h[0].mlp.c_fc.weight[0, 0] = 1e6
    with pytest.raises(UserError, match="h.0.mlp.c_fc.weight holds a weight that float16 cannot"):
        save_baked(model, tmp_path / "out", dtype=torch.float16)
    assert not (tmp_path / "out").exists()
