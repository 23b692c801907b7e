"""train.py on models as people have them: 16 bits, adapters, padded and nested vocabularies, tokenizers that do not load."""

import json
import re
import shlex
import subprocess

import command_runs
import numpy as np
import plain_transformers
import pytest
import tiny_architectures as tiny
import torch
from safetensors.torch import load_file
from test_adapters import save_adapter
from test_loading import add_tokenizer
from test_tokenizer_loading import SENTENCEPIECE
from transformers import AutoConfig, AutoModelForCausalLM

P, C = 7, 5
LENGTHS = (f"paragraphs.prefix_length={P}", f"paragraphs.continuation_length={C}")


def rows_in(folder):
    """What train.py is told of 14 random rows."""
    folder.mkdir(exist_ok=True)
    ids = tiny.some_ids(rows=14, length=P + C)
    np.save(folder / "forget.npy", ids[:4].numpy())
    np.save(folder / "retain.npy", ids[4:].numpy())
    files = [f"paragraphs.{name}={folder}/{name}.npy" for name in ("forget", "retain")]
    return ["paragraphs=files", *LENGTHS, *files]


def trained(folder, *more, model="model"):
    return command_runs.run(
        "train",
        "model=local",
        f"model.name_or_path={folder / model}",
        *rows_in(folder),
        *command_runs.TRAINING,
        *more,
        directory=folder / "run",
    )


def test_a_checkpoint_in_16_bits_comes_back_in_16_bits_and_is_scored_again(tmp_path):
    tiny.tiny_model("llama").bfloat16().save_pretrained(tmp_path / "model")
    ended = trained(tmp_path, "save_model=true")
    assert ended.code == 0, ended.err
    saved = load_file(tmp_path / "run" / "model" / "model.safetensors")
    assert {tensor.dtype for tensor in saved.values()} == {torch.bfloat16}
    [note] = [note for note in ended.result["notes"] if "scored again" in note]
    before = ended.result["after"]["forget"]["em"]
    ids = tiny.some_ids(rows=14, length=P + C)[:4]
    scores = plain_transformers.rescored(plain_transformers.load(tmp_path / "run" / "model").float(), ids, P)
    of_files = sum(em for em, _, _ in scores) / 4
    assert note == f"the checkpoint in bfloat16, scored again: forget EM {of_files:.1f} ({before:.1f} before rounding)"
    assert note in ended.out


def test_in_float32_it_is_base_and_patch_bit_for_bit(tmp_path):
    tiny.tiny_model("llama").bfloat16().save_pretrained(tmp_path / "model")
    ended = trained(tmp_path, "save_model=true", "dtype=float32")
    assert ended.code == 0 and not any("scored again" in note for note in ended.result["notes"]), ended.err
    saved = load_file(tmp_path / "run" / "model" / "model.safetensors")
    assert {tensor.dtype for tensor in saved.values()} == {torch.float32}
    by_hand = plain_transformers.patched(tmp_path / "model", tmp_path / "run" / "patch.safetensors")
    for name, tensor in saved.items():
        assert torch.equal(tensor, by_hand.get_parameter(name))


def test_another_type_is_refused_before_any_work(tmp_path):
    ended = trained(tmp_path, "save_model=true", "dtype=int8")
    assert "dtype=int8 is not known: use float32, bfloat16, float16, or null" in ended.the_error()


def test_an_adapter_is_merged_and_it_is_said(tmp_path):
    tiny.tiny_model("llama").save_pretrained(tmp_path / "base")
    save_adapter(tmp_path / "base", tmp_path / "adapter")
    ended = trained(tmp_path, "save_model=true", model="adapter")
    assert ended.code == 0, ended.err
    assert f"note: {tmp_path}/adapter is an adapter (LORA): merged into its base {tmp_path}/base" in ended.out
    saved = plain_transformers.load(tmp_path / "run" / "model")
    rows = [row for row in command_runs.read_rows(tmp_path / "run") if row["set"] == "forget"]
    scores = plain_transformers.rescored(saved, tiny.some_ids(rows=14, length=P + C)[:4], P)
    assert [row["nll_after"] for row in rows] == pytest.approx([nll for _, _, nll in scores], abs=1e-4)


@pytest.mark.parametrize("family", ["gemma3", "gemma2", "falcon", "mpt", "opt", "phi", "cohere"])
def test_edits_of_models_of_other_kinds_with_a_padded_vocabulary(tmp_path, family):
    """A tokenizer of 50 of the model's 61 ids; Gemma 3's vocabulary and its end lie in a part of its config."""
    tiny.tiny_model(family).save_pretrained(tmp_path / "model")
    add_tokenizer(tmp_path / "model", 50)
    ended = trained(tmp_path, "objective=edit", "objective.replacements=3", "stop.forget_em=4", "save_model=true")
    assert ended.code == 0, ended.err
    assert ended.result["mask"]["k"] == round(0.05 * ended.result["mask"]["eligible"])
    saved = plain_transformers.load(tmp_path / "run" / "model")
    rows = [row for row in command_runs.read_rows(tmp_path / "run") if row["set"] == "forget"]
    scores = plain_transformers.rescored(saved, tiny.some_ids(rows=14, length=P + C)[:4], P)
    assert [row["nll_after"] for row in rows] == pytest.approx([nll for _, _, nll in scores], abs=1e-4)


@pytest.mark.slow
def test_the_remedy_for_an_unknown_architecture_is_pasted_into_a_shell(tmp_path):
    config = AutoConfig.for_model("xglm", d_model=24, num_layers=2, attention_heads=4, ffn_dim=40, vocab_size=61)
    AutoModelForCausalLM.from_config(config).save_pretrained(tmp_path / "model")
    told = ["model=local", f"model.name_or_path={tmp_path}/model", *rows_in(tmp_path), *command_runs.TRAINING]
    typed = shlex.join(command_runs.command("train.py", *told, f"hydra.run.dir={tmp_path}/run"))

    def called(line):
        environment = command_runs.process_environment()
        return subprocess.run(line, shell=True, cwd=command_runs.ROOT, env=environment, capture_output=True, text=True)

    refused = called(typed)
    assert refused.returncode == 2
    [remedy] = re.findall(r"model\.patterns=.*", refused.stderr)
    done = called(f"{typed} {remedy}")
    assert done.returncode == 0, done.stderr
    mask = json.loads((tmp_path / "run" / "result.json").read_text())["mask"]
    assert mask["eligible"] == 2 * (4 * 24 * 24 + 2 * 24 * 40)


def test_a_tokenizer_that_lacks_a_package_is_named_and_ids_still_work(tmp_path):
    tiny.tiny_model("llama").save_pretrained(tmp_path / "model")
    (tmp_path / "model" / "tokenizer.model").write_bytes(SENTENCEPIECE)
    (tmp_path / "model" / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "LlamaTokenizer"}))
    ended = trained(tmp_path)
    assert ended.code == 0, ended.err
    assert "warning: tokens are shown as ids: the tokenizer" in ended.out and "pip install sentencepiece" in ended.out
    (tmp_path / "corpus.jsonl").write_text(json.dumps({"text": "words and words"}) + "\n")
    text = ["paragraphs=files", f"paragraphs.path={tmp_path}/corpus.jsonl", *LENGTHS, f"model.name_or_path={tmp_path}/model"]
    refused = command_runs.run("evaluate", "model=local", *text, directory=tmp_path / "text")
    assert "needs a tokenizer" in refused.the_error() and "pip install sentencepiece" in refused.the_error()


def test_none_is_no_tokenizer(tmp_path):
    tiny.tiny_model("gpt2").save_pretrained(tmp_path / "model")
    (tmp_path / "model" / "tokenizer.json").write_text("{")
    ended = trained(tmp_path, "model.tokenizer=none")
    assert ended.code == 0 and "warning: tokens" not in ended.out, ended.err


def test_generation_settings_of_the_checkpoint_are_set_aside(tmp_path):
    """Sampling, penalties and early ends of its generation config change nothing that is measured, and are kept."""
    model = tiny.tiny_model("llama")
    results = []
    for name, settings in (("plain", {}), ("sampling", {"do_sample": True, "temperature": 2.0, "repetition_penalty": 3.0})):
        model.generation_config.update(**settings)
        (tmp_path / name).mkdir()
        model.save_pretrained(tmp_path / name / "model")
        ended = trained(tmp_path / name, "save_model=true")
        assert ended.code == 0, ended.err
        results.append((ended.result["before"], ended.result["after"], command_runs.read_rows(tmp_path / name / "run")))
    assert results[0] == results[1]
    kept = json.loads((tmp_path / "sampling" / "run" / "model" / "generation_config.json").read_text())
    assert kept["do_sample"] is True and kept["repetition_penalty"] == 3.0
