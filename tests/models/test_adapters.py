"""An adapter is merged into its base, as peft itself runs the two together; what cannot be merged is said in one line."""

import json
import shutil

import pytest
import tiny_architectures as tiny
import torch
from peft import LoraConfig, PromptTuningConfig, get_peft_model
from safetensors.torch import load_file, save_file
from test_loading import add_tokenizer

from memunlearn.errors import UserError
from memunlearn.models import ModelSource, load_model, load_tokenizer
from memunlearn.models.adapters import ADAPTER, adapter_note
from memunlearn.models.loading import checkpoint_dtype

TARGETS = {"llama": ["q_proj", "v_proj", "down_proj"], "gpt2": ["c_attn", "c_fc"]}


def logits(model):
    with torch.no_grad():
        return model(input_ids=tiny.some_ids()).logits


@pytest.fixture
def base(tmp_path):
    tiny.tiny_model("llama").bfloat16().save_pretrained(tmp_path / "base")
    return tmp_path / "base"


def save_adapter(base, folder, config=None):
    """A LoRA of random A and B for the checkpoint in `base`; returns what base and adapter say together."""
    model = load_model(str(base), "eager")
    config = config or LoraConfig(task_type="CAUSAL_LM", r=3, lora_alpha=7, target_modules=TARGETS[model.config.model_type])
    adapted = get_peft_model(model, config)
    adapted.peft_config["default"].base_model_name_or_path = str(base)
    generator = torch.Generator().manual_seed(4)
    with torch.no_grad():
        for name, parameter in adapted.named_parameters():
            if "lora_" in name:
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.3)
    adapted.save_pretrained(folder)
    return logits(adapted.eval())


@pytest.mark.parametrize("family", TARGETS)
def test_what_is_loaded_says_what_base_and_adapter_say_together(tmp_path, family):
    tiny.tiny_model(family).save_pretrained(tmp_path / "base")
    expected = save_adapter(tmp_path / "base", tmp_path / "adapter")
    loaded = ModelSource(str(tmp_path / "adapter"), attn_implementation="eager").load()
    found = logits(loaded.model)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
    base = load_model(str(tmp_path / "base"), "eager")
    assert float((found - logits(base)).abs().max()) > 0.1
    assert type(loaded.model) is type(base) and not loaded.model.training
    assert dict(loaded.model.named_parameters()).keys() == dict(base.named_parameters()).keys()
    assert {parameter.dtype for parameter in loaded.model.parameters()} == {torch.float32}


def test_it_is_said_of_which_base_it_is(base, tmp_path):
    save_adapter(base, tmp_path / "adapter")
    note = adapter_note(str(tmp_path / "adapter"))
    assert note is not None and "(LORA)" in note and f"merged into its base {base}" in note
    assert adapter_note(str(base)) is None and adapter_note("org/name") is None


def test_type_and_tokenizer_are_the_bases_where_it_has_none_of_its_own(base, tmp_path):
    save_adapter(base, tmp_path / "adapter")
    assert checkpoint_dtype(str(tmp_path / "adapter")) is torch.bfloat16
    assert load_tokenizer(str(tmp_path / "adapter")) is None
    add_tokenizer(base)
    assert load_tokenizer(str(tmp_path / "adapter")).decode([5]) == "word5"
    shutil.copy(base / "tokenizer.json", tmp_path / "adapter")
    shutil.rmtree(base)
    assert load_tokenizer(str(tmp_path / "adapter")).decode([6]) == "word6"


@pytest.mark.parametrize("with_tokenizer", [False, True])
def test_without_peft_it_is_to_be_merged_first(base, tmp_path, monkeypatch, with_tokenizer):
    save_adapter(base, tmp_path / "adapter")
    if with_tokenizer:
        add_tokenizer(tmp_path / "adapter")
    monkeypatch.setattr("memunlearn.models.adapters.find_spec", lambda name: None)
    with pytest.raises(UserError, match=f"is a LoRA adapter .* for {base}, .*pip install peft.*merge_and_unload"):
        ModelSource(str(tmp_path / "adapter")).check()


def test_one_that_does_not_name_its_base_is_to_be_merged_first(tmp_path):
    for content in ("{}", "[" * 100_000, json.dumps({"base_model_name_or_path": None})):
        (tmp_path / ADAPTER).write_text(content)
        with pytest.raises(UserError, match="is a LoRA adapter .* for BASE, not a whole model: merge it"):
            load_model(str(tmp_path))


def test_a_base_that_is_not_there_or_is_itself_an_adapter_of_itself_is_named(tmp_path):
    folder = tmp_path / "adapter"
    folder.mkdir()
    (folder / ADAPTER).write_text(json.dumps({"peft_type": "LORA", "base_model_name_or_path": str(tmp_path / "gone")}))
    with pytest.raises(UserError, match="no folder .*gone"):
        ModelSource(str(folder)).check()
    (folder / ADAPTER).write_text(json.dumps({"peft_type": "LORA", "base_model_name_or_path": str(folder)}))
    with pytest.raises(UserError, match="adapter for itself.*base_model_name_or_path"):
        ModelSource(str(folder)).check()


def test_a_quantized_base_is_refused_as_any(base, tmp_path):
    save_adapter(base, tmp_path / "adapter")
    config = json.loads((base / "config.json").read_text())
    (base / "config.json").write_text(json.dumps(config | {"quantization_config": {"quant_method": "gptq"}}))
    with pytest.raises(UserError, match="quantized checkpoint"):
        ModelSource(str(tmp_path / "adapter")).check()


def test_an_adapter_of_another_model_is_refused(base, tmp_path):
    save_adapter(base, tmp_path / "adapter")
    weights = tmp_path / "adapter" / "adapter_model.safetensors"
    tensors = load_file(weights)
    lost = next(iter(tensors))
    save_file({key: tensor for key, tensor in tensors.items() if key != lost}, weights)
    with pytest.raises(UserError, match="cannot merge the adapter .*1 of its weights are missing"):
        load_model(str(tmp_path / "adapter"))
    save_file({key.replace("layers.1", "layers.7"): tensor for key, tensor in tensors.items()}, weights)
    with pytest.raises(UserError, match="cannot merge the adapter .*missing or fit nothing"):
        load_model(str(tmp_path / "adapter"))
    weights.write_bytes(weights.read_bytes()[:100])
    with pytest.raises(UserError, match="cannot merge the adapter"):
        load_model(str(tmp_path / "adapter"))


def test_a_kind_that_changes_no_weights_is_refused(base, tmp_path):
    save_adapter(base, tmp_path / "adapter", PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=3))
    with pytest.raises(UserError, match="change no weights, and cannot be merged"):
        load_model(str(tmp_path / "adapter"))
