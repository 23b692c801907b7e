"""What a run leaves in its folder, read without memunlearn and computed again in plain transformers."""

import csv
import html
import math
import re
import shlex

import command_runs
import plain_transformers
import pytest
import tiny_demo
import torch

from memunlearn.demo.model import WHAT_IT_IS

SETS = ("forget", "bystander", "near", "near_forgotten", "near_other", "retain")
MEANS = ("em", "memorized", "non_memorized", "longest_run", "longest_common_run", "nll", "kl", "self_em")
COLUMNS = "set index cluster em_before em_after longest_run_before longest_run_after nll_before nll_after kl self_em".split()


def reported(result):
    """(when, set, stats) of every set that is not empty."""
    return [(when, name, result[when][name]) for when in ("before", "after") for name in SETS if result[when][name]]


def test_every_file_of_the_contract_is_there_and_nothing_unfinished(gradient_run):
    names = {path.relative_to(gradient_run).as_posix() for path in gradient_run.rglob("*")}
    expected = {"result.json", "paragraphs.parquet", "patch.safetensors", "metrics.csv", "report.html", "model", ".hydra"}
    assert expected | {"checkpoints", ".hydra/config.yaml"} <= names
    assert not [name for name in names if "unfinished" in name or ".tmp" in name]


def test_result_json_has_every_key(gradient_run):
    result = command_runs.read_result(gradient_run)
    keys = {"schema", "config", "environment", "seed", "steps", "stopped_because", "mask", "before", "after", "seconds"}
    assert keys <= result.keys() and result["schema"] == 1 and result["seed"] == 0
    assert result["notes"] == [WHAT_IT_IS]
    assert result["stopped_because"] in {"forget_em", "max_kl", "bystander_em", "max_steps", "nan"}
    assert result["config"]["mask"]["fraction"] == 0.05 and result["config"]["model"]["demo"]["width"] == 48
    assert result["environment"]["libraries"]["torch"] == torch.__version__
    mask = result["mask"]
    assert mask["k"] == round(0.05 * mask["eligible"]) == sum(mask["per_component"].values())
    for when in ("before", "after"):
        assert set(SETS) <= result[when].keys()
    filled = {name for when, name, _ in reported(result)}
    assert filled >= {"forget", "bystander", "retain"}
    for _, name, stats in reported(result):
        assert {"n", "clusters", "em_p95", *MEANS} <= stats.keys(), name
    for name in ("near", "near_forgotten", "near_other"):
        assert result["before"][name] is None and result["after"][name] is None


def test_every_mean_lies_in_its_interval_or_it_is_said_why_it_has_none(gradient_run):
    there = missing = 0
    for _, _, stats in reported(command_runs.read_result(gradient_run)):
        for key in MEANS:
            if stats[f"{key}_ci"] is None:
                missing += 1
                note = next(
                    part
                    for part in stats["interval_note"].split("; ")
                    if key in part.partition(":")[0].split("for ")[1].split(", ")
                )
                assert f"{stats['clusters']} cluster" in note if stats["clusters"] < 10 else "the same in every cluster" in note
            else:
                low, high = stats[f"{key}_ci"]
                assert low <= stats[key] <= high and low < high and stats["clusters"] >= 10
                there += 1
    assert there >= 5 and missing > 10  # the tiny demo has few memorized paragraphs


def test_before_training_the_model_is_its_own_base(gradient_run):
    before = command_runs.read_result(gradient_run)["before"]
    assert before["forget"]["em"] == before["forget"]["em_p95"] == tiny_demo.C == before["bystander"]["em"]
    for name in ("forget", "bystander", "retain"):
        assert before[name]["kl"] == 0.0 and before[name]["self_em"] == tiny_demo.C


def test_the_run_did_something(gradient_run):
    result = command_runs.read_result(gradient_run)
    assert result["after"]["forget"]["nll"] > result["before"]["forget"]["nll"] + 0.1
    assert result["after"]["forget"]["kl"] > result["after"]["retain"]["kl"] > 0
    assert result["steps"] == 6


def test_the_paragraph_table_agrees_with_the_result(gradient_run):
    result, rows = command_runs.read_result(gradient_run), command_runs.read_rows(gradient_run)
    assert {*COLUMNS, "holds_forgotten"} <= rows[0].keys()
    for when, name, stats in reported(result):
        members = [row for row in rows if row["set"] == name]
        assert [row["index"] for row in members] == list(range(stats["n"]))
        assert len({row["cluster"] for row in members}) == stats["clusters"]
        for key in ("em", "longest_run", "longest_common_run", "nll"):
            mean = math.fsum(row[f"{key}_{when}"] for row in members) / len(members)
            assert mean == pytest.approx(stats[key], abs=1e-6)
        if when == "after":
            for key in ("kl", "self_em"):
                assert math.fsum(row[key] for row in members) / len(members) == pytest.approx(stats[key], abs=1e-6)
    texts = ("prefix", "continuation", "continuation_before", "continuation_after")
    assert all(isinstance(row[text], str) for row in rows for text in texts)
    assert all(row["continuation_before"] == row["continuation"] for row in rows if row["set"] in ("forget", "bystander"))
    assert any(row["continuation_before"] != row["continuation"] for row in rows if row["set"] == "retain")


def test_tokens_of_the_paragraph_table_join_to_the_text_and_their_nll_to_the_mean(gradient_run):
    for row in command_runs.read_rows(gradient_run):
        assert len(row["token_texts"]) == tiny_demo.C and "".join(row["token_texts"]) == row["continuation"]
        for when in ("before", "after"):
            assert len(row[f"token_nll_{when}"]) == tiny_demo.C
            assert math.fsum(row[f"token_nll_{when}"]) / tiny_demo.C == pytest.approx(row[f"nll_{when}"], abs=1e-5)


def test_components_are_shares_of_what_there_is(gradient_run):
    mask = command_runs.read_result(gradient_run)["mask"]
    assert mask["size_per_component"].keys() == mask["per_component"].keys()
    assert sum(mask["size_per_component"].values()) == mask["eligible"]
    assert mask["size_per_component"]["0.q"] == 48 * 48 and mask["size_per_component"]["1.mlp_in"] == 4 * 48 * 48


def test_figures_for_papers_are_files(gradient_run):
    names = {path.name for path in (gradient_run / "figures").iterdir()}
    assert names == {f"{name}.{kind}" for name in ("training", "em", "nll", "em_nll", "mask") for kind in ("png", "pdf")}
    assert all(path.stat().st_size > 5000 for path in (gradient_run / "figures").iterdir())


def test_the_page_says_the_exact_command(finished_run):
    folder = finished_run("quoted", "++callbacks.note={_target_: lightning.Callback}", "stop.max_steps=1")
    command = command_runs.read_result(folder)["environment"]["command"]
    assert shlex.split(command)[:2] == ["python", "train.py"]
    expected = command_runs.training("++callbacks.note={_target_: lightning.Callback}", "stop.max_steps=1")
    assert shlex.split(command)[2:] == expected
    (shown,) = re.findall(r'<pre id="command">(.*?)</pre>', (folder / "report.html").read_text(), flags=re.DOTALL)
    assert html.unescape(shown) == command


def test_the_patch_is_sorted_sparse_and_of_this_run(gradient_run):
    deltas, indices, metadata = plain_transformers.read_patch(gradient_run / "patch.safetensors")
    result = command_runs.read_result(gradient_run)
    assert sum(delta.numel() for delta in deltas.values()) == result["mask"]["k"]
    for name, delta in deltas.items():
        flat = indices[name]
        assert delta.dtype == torch.float32 and flat.dtype == torch.int64 and delta.shape == flat.shape
        assert bool((flat.diff() > 0).all()) and int(flat[0]) >= 0
    assert any(bool(delta.abs().max() > 0) for delta in deltas.values())
    assert metadata["config"] == result["config"] and len(metadata["base_fingerprint"]) == 64


@pytest.mark.parametrize("name", ["forget", "bystander", "retain"])
def test_base_and_patch_by_hand_give_the_reported_numbers(gradient_run, tiny_folder, name):
    rows = [row for row in command_runs.read_rows(gradient_run) if row["set"] == name]
    ids = plain_transformers.tokens_of(rows, tiny_folder)
    models = {
        "before": plain_transformers.load(tiny_folder),
        "after": plain_transformers.patched(tiny_folder, gradient_run / "patch.safetensors"),
    }
    for when, model in models.items():
        for row, (em, longest, nll) in zip(rows, plain_transformers.rescored(model, ids, tiny_demo.P), strict=True):
            assert (row[f"em_{when}"], row[f"longest_run_{when}"]) == (em, longest)
            assert row[f"nll_{when}"] == pytest.approx(nll, abs=1e-4)


def test_the_curve_has_a_row_for_every_step_and_every_check(gradient_run):
    with open(gradient_run / "metrics.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["step"]) for row in rows if row["train/loss"]] == [0, 1, 2, 3, 4, 5]
    assert [int(row["step"]) for row in rows if row["check/forget_em"]] == [1, 2, 4, 6]
    last = next(row for row in reversed(rows) if row["after/forget/em"])
    result = command_runs.read_result(gradient_run)
    assert float(last["after/forget/em"]) == pytest.approx(result["after"]["forget"]["em"])
    assert float(last["before/retain/nll"]) == pytest.approx(result["before"]["retain"]["nll"])


def test_the_report_stands_alone_and_says_what_the_demo_is(gradient_run):
    page = re.sub(r"<script>.*?</script>", "", (gradient_run / "report.html").read_text(), flags=re.DOTALL)
    needed = re.findall(r"""(?:src|href|url)\s*[=(]\s*["']?([^"'\s)>]*)""", page)
    assert needed and all(place.startswith(("data:", "#")) for place in needed), needed
    assert "is a test of the software" in page


def test_the_kept_config_is_the_resolved_one(gradient_run):
    import yaml

    kept = yaml.safe_load((gradient_run / ".hydra" / "config.yaml").read_text())
    assert kept["save_model"] is True and kept["mask"]["fraction"] == 0.05
