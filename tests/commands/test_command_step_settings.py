"""compile and gradient_checkpointing, from the command: which callbacks, and the same run."""

import command_runs
import pytest
import torch
from omegaconf import OmegaConf
from safetensors.torch import load_file

from memunlearn.commands.step_settings import check_step_settings, step_callbacks
from memunlearn.errors import UserError
from memunlearn.unlearning.compiled_blocks import CompiledBlocks
from memunlearn.unlearning.gradient_checkpointing import GradientCheckpointing


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("again", [False, True])
def test_what_is_compiled_is_wrapped_first(compiled, again):
    cfg = OmegaConf.create({"compile": compiled, "gradient_checkpointing": again})
    expected = [kind for kind, asked in ((CompiledBlocks, compiled), (GradientCheckpointing, again)) if asked]
    assert [type(callback) for callback in step_callbacks(cfg)] == expected


@pytest.mark.parametrize("compiled", [False, True])
def test_trials_are_not_compiled(compiled):
    protocol = {"_target_": "memunlearn.unlearning.per_paragraph.PerParagraph"}
    cfg = OmegaConf.create({"compile": compiled, "protocol": protocol, "trainer": {"accelerator": "cpu"}})
    if not compiled:
        return check_step_settings(cfg)
    with pytest.raises(UserError, match="compile=true with protocol=per_paragraph .* leave compile out"):
        check_step_settings(cfg)


def test_a_compiler_is_looked_for_before_any_work(monkeypatch):
    looked = []
    monkeypatch.setattr("memunlearn.commands.step_settings.check_compiler", looked.append)
    protocol = {"_target_": "memunlearn.unlearning.joint.Joint"}
    for compiled in (False, True):
        check_step_settings(OmegaConf.create({"compile": compiled, "protocol": protocol, "trainer": {"accelerator": "auto"}}))
    assert looked == ["auto"]


@pytest.mark.slow
def test_a_run_with_blocks_computed_again_is_the_same_to_the_bit(tmp_path):
    ended = []
    for name, asked in (("plain", ()), ("again", ("gradient_checkpointing=true",))):
        made = command_runs.train("optimizer=kfac", *asked, directory=tmp_path / name)
        assert made.code == 0, made.err
        ended.append((made.result["after"], load_file(tmp_path / name / "patch.safetensors")))
    (after, patch), (after_again, patch_again) = ended
    assert after == after_again and patch.keys() == patch_again.keys()
    assert all(torch.equal(patch[name], patch_again[name]) for name in patch)
