import json
import shutil
from pathlib import Path

import pytest
import tiny_architectures as tiny
import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, models
from transformers import PreTrainedTokenizerFast

from memunlearn.errors import UserError
from memunlearn.models import ModelSource, load_model, load_tokenizer


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    folder = tmp_path_factory.mktemp("gpt_neo")
    tiny.tiny_model("gpt_neo").save_pretrained(folder)
    return folder


@pytest.fixture
def checkpoint(saved, tmp_path):
    return Path(shutil.copytree(saved, tmp_path / "checkpoint"))


def add_tokenizer(folder, size=tiny.VOCABULARY):
    words = {f"word{i}": i for i in range(size)}
    PreTrainedTokenizerFast(tokenizer_object=Tokenizer(models.WordLevel(words, unk_token="word0"))).save_pretrained(folder)


def test_a_local_checkpoint_without_a_tokenizer(checkpoint):
    loaded = ModelSource(str(checkpoint)).load()
    assert loaded.tokenizer is None and loaded.name == str(checkpoint) and not loaded.model.training
    reference = tiny.tiny_model("gpt_neo")
    with torch.no_grad():
        assert torch.equal(loaded.model(tiny.some_ids()).logits, reference(tiny.some_ids()).logits)


@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_bf16_checkpoints_are_cast_up(family, tmp_path):
    model = tiny.tiny_model(family).bfloat16()
    model.save_pretrained(tmp_path / "bf16")
    loaded = load_model(str(tmp_path / "bf16"))
    assert {parameter.dtype for parameter in loaded.parameters()} == {torch.float32}
    for name, parameter in model.named_parameters():
        assert torch.equal(loaded.get_parameter(name), parameter.float())


def test_tokenizers(checkpoint, tmp_path):
    assert load_tokenizer(str(checkpoint)) is None
    add_tokenizer(tmp_path / "tokenizer")
    assert load_tokenizer(str(checkpoint), str(tmp_path / "tokenizer")).decode([3, 4]) == "word3 word4"
    with pytest.raises(UserError, match="no tokenizer in"):
        load_tokenizer(str(checkpoint), str(checkpoint))
    with pytest.raises(UserError, match="no folder"):
        load_tokenizer(str(checkpoint), str(tmp_path / "nowhere"))
    add_tokenizer(checkpoint)
    assert load_tokenizer(str(checkpoint)).decode([5]) == "word5"
    (checkpoint / "tokenizer.json").write_text("{")
    with pytest.raises(UserError, match="cannot load the tokenizer.*model.tokenizer"):
        load_tokenizer(str(checkpoint))


def test_missing_things_are_named(checkpoint, tmp_path):
    with pytest.raises(UserError, match="model.name_or_path is not set"):
        ModelSource(None).load()
    with pytest.raises(UserError, match="no folder"):
        load_model(str(tmp_path / "nowhere"))
    with pytest.raises(UserError, match="no folder"):
        load_model(str(checkpoint / "config.json"))
    (checkpoint / "config.json").unlink()
    with pytest.raises(UserError, match="no config.json"):
        load_model(str(checkpoint))


def test_damaged_checkpoints_are_refused(checkpoint):
    weights = checkpoint / "model.safetensors"
    whole = weights.read_bytes()
    for damaged in (whole[: len(whole) // 2], whole[:-1], b""):
        weights.write_bytes(damaged)
        with pytest.raises(UserError, match="cannot load the model in.*whole"):
            load_model(str(checkpoint))
    weights.unlink()
    with pytest.raises(UserError, match="cannot load the model in"):
        load_model(str(checkpoint))
    torch.save(tiny.tiny_model("gpt_neo").state_dict(), checkpoint / "pytorch_model.bin")
    load_model(str(checkpoint))
    whole = (checkpoint / "pytorch_model.bin").read_bytes()
    (checkpoint / "pytorch_model.bin").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match="cannot load the model in"):
        load_model(str(checkpoint))


def test_weights_that_would_be_random_are_refused(checkpoint):
    weights = checkpoint / "model.safetensors"
    tensors = load_file(weights)
    lost = tensors.pop("transformer.h.1.mlp.c_fc.weight")
    save_file(tensors, weights, {"format": "pt"})
    with pytest.raises(UserError, match="lacks 1 weights of a GPTNeoForCausalLM, such as transformer.h.1.mlp.c_fc.weight"):
        load_model(str(checkpoint))
    save_file(tensors | {"transformer.h.1.mlp.c_fc.weight": lost[:3].clone()}, weights, {"format": "pt"})
    with pytest.raises(UserError, match="cannot load the model in"):
        load_model(str(checkpoint))


@pytest.mark.parametrize("config", [{"model_type": "no_such_type"}, {"model_type": "vit"}, {}])
def test_unknown_types_are_refused(checkpoint, config):
    (checkpoint / "config.json").write_text(json.dumps(config))
    with pytest.raises(UserError, match="cannot load the model in.*knows its type"):
        load_model(str(checkpoint))


def test_an_attention_that_the_model_lacks_is_refused(checkpoint):
    with pytest.raises(UserError, match="attn_implementation"):
        load_model(str(checkpoint), attn_implementation="sdpa")


def test_without_the_hub_it_says_how_to_use_a_copy(monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(UserError, match="model=local model.name_or_path=DIR"):
        load_model("memunlearn-tests/no-such-model")
    with pytest.raises(UserError, match="model=local model.name_or_path=DIR.*model.tokenizer"):
        load_tokenizer("memunlearn-tests/no-such-model")


@pytest.mark.parametrize("name", ["gpt_neo_125m", "gpt_neo_1_3b", "gpt_neo_2_7b", "local"])
def test_configs_make_a_source(name):
    from hydra.utils import instantiate
    from omegaconf import OmegaConf

    source = instantiate(OmegaConf.load(Path(__file__).parents[2] / "conf" / "model" / f"{name}.yaml"))
    assert isinstance(source, ModelSource)
    assert source.name_or_path is None if name == "local" else source.name_or_path.startswith("EleutherAI/gpt-neo-")


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("AutoConfig", "brings code of its own, which is never run here"),
        ("AutoModelForCausalLM", "brings code of its own, which is never run here"),
        ("AutoTokenizer", "cannot load the tokenizer"),  # transformers looks for another one in the folder
    ],
)
def test_code_that_a_checkpoint_brings_is_never_run_and_never_asked_about(checkpoint, monkeypatch, what, said):
    def ask(*arguments):
        raise AssertionError("asked at the terminal")

    monkeypatch.setattr("builtins.input", ask)
    (checkpoint / "own.py").write_text(f"open({str(checkpoint / 'ran')!r}, 'w')\nclass Own: pass\n")
    add_tokenizer(checkpoint)
    named = "tokenizer_config.json" if what == "AutoTokenizer" else "config.json"
    config = json.loads((checkpoint / named).read_text())
    if what == "AutoTokenizer":
        config |= {"tokenizer_class": "Own", "auto_map": {what: ["own.Own", None]}}
        (checkpoint / "tokenizer.json").rename(checkpoint / "vocab.json")
    else:
        config |= {"model_type": "of_its_own", "auto_map": {"AutoConfig": "own.Own", what: "own.Own"}}
    (checkpoint / named).write_text(json.dumps(config))
    with pytest.raises(UserError, match=said):
        load_tokenizer(str(checkpoint)) if what == "AutoTokenizer" else ModelSource(str(checkpoint)).load()
    if what == "AutoTokenizer":
        assert ModelSource(str(checkpoint)).load().tokenizer is None
    assert not (checkpoint / "ran").exists()


def test_kernels_from_the_hub_are_code_too(checkpoint):
    with pytest.raises(UserError, match="someone/attention names code on the Hub"):
        ModelSource(str(checkpoint), attn_implementation="someone/attention").load()


@pytest.mark.parametrize("key", ["quantization_config", "quantization"])
def test_quantized_checkpoints_are_refused(checkpoint, key):
    config = json.loads((checkpoint / "config.json").read_text())
    for found in ({"quant_method": "gptq", "bits": 4}, {"bits": 8, "group_size": 64}):
        (checkpoint / "config.json").write_text(json.dumps(config | {key: found}))
        with pytest.raises(UserError, match="is a quantized checkpoint.*give the checkpoint that it was made from"):
            load_model(str(checkpoint))
    (checkpoint / "config.json").write_text(json.dumps(config | {key: None}))
    load_model(str(checkpoint))


def test_a_file_for_llama_cpp_is_no_checkpoint(tmp_path):
    (tmp_path / "model.gguf").write_bytes(b"GGUF")
    with pytest.raises(UserError, match="llama.cpp"):
        load_model(str(tmp_path))


NO_MEMORY = {
    "Python's": MemoryError(),
    "PyTorch's on the CPU": RuntimeError(
        "[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory: you tried"
    ),
    "a GPU's": torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
    "cuBLAS": RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate(handle)"),
    "the system's": OSError(12, "Cannot allocate memory"),
}


@pytest.mark.parametrize("whose", NO_MEMORY)
def test_no_memory_is_no_damaged_checkpoint(checkpoint, whose, monkeypatch):
    def from_pretrained(*args, **settings):
        raise NO_MEMORY[whose]

    monkeypatch.setattr("transformers.AutoModelForCausalLM.from_pretrained", from_pretrained)
    with pytest.raises(UserError, match="out of memory: the model .* does not fit") as error:
        load_model(str(checkpoint))
    assert "whole" not in str(error.value)


def test_names_may_be_numbers_and_begin_at_home(checkpoint, tmp_path, monkeypatch):
    shutil.copytree(checkpoint, tmp_path / "1000")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in (1000, "1000", "~/1000"):
        assert ModelSource(name).load().name == str(name)
    with pytest.raises(UserError, match="no tokenizer in"):
        ModelSource(1000, tokenizer=1000).load()
    with pytest.raises(UserError, match="no home folder"):
        load_model("~nobodyhere/model")


def test_a_table_of_weights_is_checked_before_anything_is_loaded(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    for patterns, said in (
        ({"a.{layer}": "query"}, "query"),
        ({"a": "q"}, "needs {layer} once"),
        ("q", "no table"),
        ({}, "no table"),
    ):
        with pytest.raises(UserError, match=said):
            ModelSource(str(tmp_path), patterns=patterns).load()
