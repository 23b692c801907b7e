"""The type of a checkpoint is that of its files, whatever its config says; sharded or single, safetensors or .bin."""

import json

import pytest
import tiny_architectures as tiny
import torch

from memunlearn.errors import UserError
from memunlearn.models import load_model
from memunlearn.models.checkpoint_dtype import DTYPES
from memunlearn.models.loading import checkpoint_dtype

KINDS = tuple(DTYPES.values())


def say(folder, dtype):
    config = json.loads((folder / "config.json").read_text())
    config.pop("torch_dtype", None)
    (folder / "config.json").write_text(json.dumps(config | {"dtype": dtype}))


@pytest.mark.parametrize("dtype", KINDS)
@pytest.mark.parametrize("shard", ["5GB", "12KB"])
def test_of_safetensors_it_is_that_of_the_files(tmp_path, dtype, shard):
    model = tiny.tiny_model("llama").to(dtype)
    model.save_pretrained(tmp_path, max_shard_size=shard)
    assert len(list(tmp_path.glob("*.safetensors"))) == 1 if shard == "5GB" else len(list(tmp_path.glob("*.safetensors"))) > 2
    for said in ("float32", "bfloat16", None):
        say(tmp_path, said)
        assert checkpoint_dtype(str(tmp_path)) is dtype
    loaded = load_model(str(tmp_path))
    for name, parameter in model.named_parameters():
        assert torch.equal(loaded.get_parameter(name), parameter.float())


@pytest.mark.parametrize("dtype", KINDS)
def test_of_other_files_it_is_what_the_config_says(tmp_path, dtype):
    model = tiny.tiny_model("gpt2").to(dtype)
    model.config.save_pretrained(tmp_path)
    torch.save(model.state_dict(), tmp_path / "pytorch_model.bin")
    say(tmp_path, str(dtype).removeprefix("torch."))
    assert checkpoint_dtype(str(tmp_path)) is dtype
    loaded = load_model(str(tmp_path))
    for name, parameter in model.named_parameters():
        assert torch.equal(loaded.get_parameter(name), parameter.float())
    say(tmp_path, None)
    assert checkpoint_dtype(str(tmp_path)) is torch.float32


def test_of_several_types_it_is_that_of_most_weights(tmp_path):
    model = tiny.tiny_model("llama").bfloat16()
    for module in model.modules():
        if "Norm" in type(module).__name__:
            module.float()
    model.save_pretrained(tmp_path)
    assert checkpoint_dtype(str(tmp_path)) is torch.bfloat16


def test_other_types_are_written_as_fp32(tmp_path):
    tiny.tiny_model("llama").double().save_pretrained(tmp_path)
    assert checkpoint_dtype(str(tmp_path)) is torch.float32


def test_code_in_a_bin_file_is_not_run(tmp_path):
    class Runs:
        def __reduce__(self):
            return (open, (str(tmp_path / "ran"), "w"))

    model = tiny.tiny_model("gpt2")
    model.config.save_pretrained(tmp_path)
    torch.save(model.state_dict() | {"more": Runs()}, tmp_path / "pytorch_model.bin")
    (tmp_path / "ran").unlink(missing_ok=True)
    with pytest.raises(UserError, match="cannot load the model in"):
        load_model(str(tmp_path))
    assert not (tmp_path / "ran").exists()
