"""model/, the patch, `python -m memunlearn.models apply` and evaluate.py: four ways to the same unlearned model."""

import json

import command_runs
import plain_transformers
import pytest
import tiny_demo
import torch
from transformers import AutoTokenizer

from memunlearn.models.__main__ import main as models

# Loads a checkpoint and scores rows where memunlearn cannot be imported.
WITHOUT_MEMUNLEARN = """
import json, sys
sys.modules["memunlearn"] = None
sys.path.insert(0, sys.argv[1])
import plain_transformers, torch
try:
    import memunlearn
    sys.exit("memunlearn could be imported")
except ImportError:
    pass
ids = torch.tensor(json.loads(sys.argv[3]))
print("scores", json.dumps(plain_transformers.rescored(plain_transformers.load(sys.argv[2]), ids, int(sys.argv[4]))))
"""


def logits(model, ids):
    with torch.no_grad():
        return model(ids).logits


@pytest.fixture
def forget_rows(gradient_run, tiny_folder):
    """(rows of paragraphs.parquet, their token ids)."""
    rows = [row for row in command_runs.read_rows(gradient_run) if row["set"] == "forget"]
    return rows, plain_transformers.tokens_of(rows, tiny_folder)


def test_the_saved_model_needs_no_memunlearn(gradient_run, forget_rows):
    rows, ids = forget_rows
    here = command_runs.ROOT / "tests" / "commands"
    ended = command_runs.real(
        "-c", WITHOUT_MEMUNLEARN, here, gradient_run / "model", json.dumps(ids.tolist()), tiny_demo.P, PYTHONPATH=""
    )
    assert ended.code == 0, ended.err
    scores = json.loads(ended.out.partition("scores ")[2])
    assert [em for em, _, _ in scores] == [row["em_after"] for row in rows]
    assert [nll for _, _, nll in scores] == pytest.approx([row["nll_after"] for row in rows], abs=1e-4)


def test_the_saved_model_is_base_and_patch_bit_for_bit(gradient_run, tiny_folder, forget_rows):
    saved = plain_transformers.load(gradient_run / "model")
    by_hand = plain_transformers.patched(tiny_folder, gradient_run / "patch.safetensors")
    assert torch.equal(logits(saved, forget_rows[1]), logits(by_hand, forget_rows[1]))
    assert not torch.equal(logits(saved, forget_rows[1]), logits(plain_transformers.load(tiny_folder), forget_rows[1]))


def test_weights_outside_the_mask_keep_every_bit(gradient_run, tiny_folder):
    base, saved = (dict(plain_transformers.load(folder).named_parameters()) for folder in (tiny_folder, gradient_run / "model"))
    _, indices, _ = plain_transformers.read_patch(gradient_run / "patch.safetensors")
    assert base.keys() == saved.keys()
    for name, weight in base.items():
        differs = (weight.view(torch.int32) != saved[name].view(torch.int32)).flatten().nonzero().flatten()
        assert set(differs.tolist()) <= set(indices[name].tolist() if name in indices else [])


def test_the_saved_model_keeps_its_tokenizer(gradient_run, tiny_folder):
    text = "The try statement, and what else?\n"
    saved, base = (AutoTokenizer.from_pretrained(folder) for folder in (gradient_run / "model", tiny_folder))
    assert saved(text)["input_ids"] == base(text)["input_ids"]


def test_apply_writes_the_same_model(gradient_run, tiny_folder, forget_rows, tmp_path, capsys):
    arguments = ["apply", "--base", str(tiny_folder), "--patch", str(gradient_run / "patch.safetensors")]
    assert models([*arguments, "--out", str(tmp_path / "baked")]) == 0
    assert str(tmp_path / "baked") in capsys.readouterr().out
    baked, saved = (plain_transformers.load(folder) for folder in (tmp_path / "baked", gradient_run / "model"))
    assert torch.equal(logits(baked, forget_rows[1]), logits(saved, forget_rows[1]))


def test_apply_refuses_another_base_in_one_line(gradient_run, tmp_path, capsys):
    arguments = ["apply", "--base", str(gradient_run / "model"), "--patch", str(gradient_run / "patch.safetensors")]
    assert models([*arguments, "--out", str(tmp_path / "baked")]) == 2
    errors = capsys.readouterr().err.strip().splitlines()
    assert len(errors) == 1 and errors[0].startswith("error: ") and "another base model" in errors[0]
    assert list(tmp_path.iterdir()) == []


def same_as_the_run(evaluation, gradient_run):
    """evaluation.json holds the after-numbers of result.json for every set, and the table those of every paragraph."""
    after = command_runs.read_result(gradient_run)["after"]
    assert evaluation["compared_with_base"] is True
    for name, stats in after.items():
        if stats is None:
            assert evaluation["sets"][name] is None
            continue
        assert evaluation["sets"][name]["n"] == stats["n"] and evaluation["sets"][name]["clusters"] == stats["clusters"]
        for key in ("em", "em_p95", "longest_run", "self_em", "memorized", "non_memorized"):
            assert evaluation["sets"][name][key] == stats[key], (name, key)
        for key in ("nll", "kl"):
            assert evaluation["sets"][name][key] == pytest.approx(stats[key], abs=1e-5), (name, key)


@pytest.mark.parametrize("how", ["patch", "model"])
def test_evaluate_gives_the_numbers_of_the_run(gradient_run, tiny_folder, tmp_path, how):
    overrides = [f"patch={gradient_run / 'patch.safetensors'}"]
    if how == "model":
        overrides = ["model=local", f"model.name_or_path={gradient_run / 'model'}", f"reference={tiny_folder}"]
    ended = command_runs.evaluate(*overrides, directory=tmp_path)
    assert ended.code == 0, ended.err
    same_as_the_run(command_runs.read_result(tmp_path, "evaluation.json"), gradient_run)
    of_run = {row["origin"]: row for row in command_runs.read_rows(gradient_run)}
    rows = command_runs.read_rows(tmp_path)
    assert len(rows) == sum(tiny_demo.SIZES[role] for role in ("memorized", "seen", "unseen"))
    reported = [row for row in rows if row["set"] in ("forget", "bystander", "near", "retain")]
    assert {row["origin"] for row in reported} == of_run.keys()
    for row in reported:
        expected = of_run[row["origin"]]
        assert (row["set"], row["em"], row["self_em"]) == (expected["set"], expected["em_after"], expected["self_em"])
        assert row["kl"] == pytest.approx(expected["kl"], abs=1e-4)


def test_evaluate_without_a_base_reports_no_kl(tmp_path):
    ended = command_runs.evaluate(directory=tmp_path)
    evaluation = command_runs.read_result(tmp_path, "evaluation.json")
    assert ended.code == 0 and evaluation["compared_with_base"] is False
    assert evaluation["sets"]["forget"]["em"] == tiny_demo.C
    assert evaluation["sets"]["forget"]["kl"] is None and evaluation["sets"]["retain"]["self_em"] is None
    assert {row["kl"] for row in command_runs.read_rows(tmp_path)} == {None}


def test_a_patch_for_another_model_is_refused(gradient_run, tmp_path):
    ended = command_runs.evaluate(
        "model=local",
        f"model.name_or_path={gradient_run / 'model'}",
        f"patch={gradient_run / 'patch.safetensors'}",
        directory=tmp_path,
    )
    assert "another base model" in ended.the_error()
    assert not (tmp_path / "evaluation.json").exists() and not (tmp_path / "paragraphs.parquet").exists()
