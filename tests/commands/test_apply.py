"""`apply`: base + patch as a plain checkpoint, in the type of the base, scored again where that rounds."""

import pytest
import tiny_architectures as tiny
import torch
from test_baking import logits, with_random_deltas
from transformers import AutoModelForCausalLM

from memunlearn.commands.apply import main
from memunlearn.models import bake, delta_parameters
from memunlearn.models.fingerprints import fingerprint
from memunlearn.models.patches import capture_change, capture_patch, save_patch
from memunlearn.paragraphs.roles import roles_of
from memunlearn.paragraphs.row_file import ROWS, write_rows
from memunlearn.scoring.score import score


def test_command_bakes_a_checkpoint(tmp_path, capsys):
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


P = 7  # of the sets that tests share


def save_run(folder, base, sets, dtype):
    """A checkpoint of this type, a patch of the run that changed it, and that run's rows; returns the changed model."""
    base.to(dtype).save_pretrained(folder / "base")
    model = with_random_deltas(base.float(), "sparse")
    with torch.no_grad():
        for delta in delta_parameters(model).values():
            delta.mul_(0.01)
    roles = roles_of({name: (getattr(sets, name), sets.clusters[name]) for name in ("forget", "bystander", "retain")})
    config = {"paragraphs": {"prefix_length": P, "continuation_length": sets.forget.continuation_length}}
    save_patch(folder / "run" / "patch.safetensors", capture_change(model, roles).stamped(fingerprint(model), config))
    write_rows(folder / "run" / ROWS, {name: getattr(sets, name) for name in ("forget", "bystander", "retain")})
    return model


def apply(folder, *more):
    patch = folder / "run" / "patch.safetensors"
    return main(["apply", "--base", str(folder / "base"), "--patch", str(patch), "--out", str(folder / "baked"), *more])


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_the_type_is_the_bases_and_the_files_are_scored_again(tmp_path, capsys, reciting, sets, dtype):
    model = save_run(tmp_path, reciting, sets, dtype)
    assert apply(tmp_path) == 0
    said = capsys.readouterr().out
    name = str(dtype).removeprefix("torch.")
    baked = AutoModelForCausalLM.from_pretrained(tmp_path / "baked", dtype="auto", attn_implementation="eager").eval()
    assert baked.dtype is dtype and f"wrote {tmp_path / 'baked'} as {name}" in said
    em = {
        which: [float(score(one, getattr(sets, which)).em.double().mean()) for one in (model, baked.float())]
        for which in ("forget", "bystander")
    }
    expected = ", ".join(f"{which} EM {after:.1f} ({before:.1f} before rounding)" for which, (before, after) in em.items())
    assert f"the checkpoint in {name}, scored again: {expected}" in said.splitlines()


def test_in_float32_it_is_the_model_bit_for_bit_and_nothing_is_scored(tmp_path, capsys, reciting, sets):
    model = save_run(tmp_path, reciting, sets, torch.bfloat16)
    assert apply(tmp_path, "--dtype", "float32") == 0
    assert capsys.readouterr().out.count("\n") == 1
    baked = AutoModelForCausalLM.from_pretrained(tmp_path / "baked", dtype="auto", attn_implementation="eager").eval()
    assert baked.dtype is torch.float32 and torch.equal(logits(baked), logits(model))


def test_without_the_rows_it_is_said_that_nothing_was_scored(tmp_path, capsys, reciting, sets):
    save_run(tmp_path, reciting, sets, torch.bfloat16)
    (tmp_path / "run" / ROWS).unlink()
    assert apply(tmp_path) == 0
    assert "the checkpoint in bfloat16 was not scored again: there are no rows to score" in capsys.readouterr().out


def test_rows_of_another_run_are_not_scored(tmp_path, capsys, reciting, sets):
    save_run(tmp_path, reciting, sets, torch.bfloat16)
    write_rows(tmp_path / "run" / ROWS, {"forget": sets.retain, "bystander": sets.bystander})
    assert apply(tmp_path) == 0
    said = capsys.readouterr().out
    assert "it is another run's, or was changed, and is not used" in said and "was not scored again" in said
