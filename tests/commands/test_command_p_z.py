"""p_z and the other details, from the settings to the files of a run and of its evaluation."""

import math
from statistics import fmean

import command_runs
import pytest
from judged_patches import judge

from memunlearn.scoring.metrics import METRICS

OF_PASS = ("extraction_strength", "memorization_accuracy", "min_k", "min_k_pp", "zlib")


@pytest.fixture(scope="module")
def asked(tmp_path_factory):
    folder = tmp_path_factory.mktemp("p_z")
    ended = command_runs.train("p_z.top_k=5", "p_z.temperature=0.9", directory=folder)
    assert ended.code == 0, ended.err
    return folder


def column(rows, name, key):
    return [row[key] for row in rows if row["set"] == name]


def test_a_run_holds_every_detail_of_every_set(asked):
    result, rows = command_runs.read_result(asked), command_runs.read_rows(asked)
    for name in ("forget", "bystander", "retain"):
        for when in ("before", "after"):
            entry, said = result[when][name], entry_keys(result[when][name])
            assert {metric.key for metric in METRICS if metric.detail and metric.key != "log_p_z"} <= said
            for key in OF_PASS:
                assert entry[key] == pytest.approx(fmean(column(rows, name, f"{key}_{when}"))), (name, when, key)
            assert entry["perplexity"] == pytest.approx(math.exp(entry["nll"]))
        for key in ("top1_agreement", "ndcg10"):
            assert result["before"][name][key] == 1.0
            assert result["after"][name][key] == pytest.approx(fmean(column(rows, name, key))) and 0 < entry[key] < 1
    assert "More measures" in (asked / "report.html").read_text()


def entry_keys(entry):
    return {key for key, value in entry.items() if value is not None}


def test_shares_are_those_of_the_rows_and_null_is_p_z_of_0(asked):
    result, rows = command_runs.read_result(asked), command_runs.read_rows(asked)
    for when in ("before", "after"):
        for name in ("forget", "retain"):
            log_p_z = column(rows, name, f"log_p_z_{when}")
            assert all(value is None or value <= 0 for value in log_p_z)
            samples = [math.inf if v is None else math.log(0.5) / math.log1p(-math.exp(v)) for v in log_p_z]
            for n in (1, 10, 1_000, 1_000_000):
                share = fmean(number <= n for number in samples)
                assert result[when][name][f"extraction_p50_n{n}"] == pytest.approx(share), (when, name, n)
    assert None in column(rows, "retain", "log_p_z_before") and None not in column(rows, "forget", "log_p_z_before")
    assert result["before"]["forget"]["extraction_p50_n1000"] == 1.0


def test_evaluating_the_patch_asks_by_itself_and_finds_the_same(asked, tmp_path):
    """With the run's sampling the run's numbers; off, none."""
    patch = f"patch={asked / 'patch.safetensors'}"
    for told, known in ((("p_z.top_k=5", "p_z.temperature=0.9"), True), ((), True), (("p_z.top_k=null",), False)):
        ended = command_runs.evaluate(patch, *told, "overwrite=true", directory=tmp_path / "judged")
        assert ended.code == 0, ended.err
        sets = command_runs.read_result(ended.directory, "evaluation.json")["sets"]
        rows = command_runs.read_rows(ended.directory)
        assert ("extraction_p50_n1000" in sets["forget"]) == known
        assert any(value is not None for value in column(rows, "forget", "log_p_z")) == known
        after = command_runs.read_result(asked)["after"]
        for key in (*OF_PASS, "top1_agreement", "ndcg10", *(["extraction_p10_n1000"] if len(told) == 2 else [])):
            assert sets["retain"][key] == pytest.approx(after["retain"][key], rel=1e-4, abs=1e-6), key


def test_nobody_asked_and_nothing_is_there(gradient_run):
    result, rows = command_runs.read_result(gradient_run), command_runs.read_rows(gradient_run)
    assert not [key for key in result["after"]["forget"] if key.startswith("extraction_p") or key == "log_p_z"]
    assert {row["log_p_z_after"] for row in rows} == {None} and result["after"]["forget"]["min_k"] < 0


@pytest.mark.parametrize(
    ("script", "setting", "line"),
    [
        ("train", "p_z.top_k=0", "p_z.top_k=0 must be 1 or more"),
        ("train", "p_z.top_k=4.5", "p_z.top_k=4.5 must be a whole number"),
        ("evaluate", "p_z.top_k=-3", "p_z.top_k=-3 must be 1 or more"),
        ("evaluate", "p_z.temperature=0", "p_z.temperature=0.0 must be a number above 0"),
    ],
)
def test_what_is_no_sampling_is_one_line_before_any_work(script, setting, line, tmp_path):
    asked_too = () if "top_k" in setting else ("p_z.top_k=40",)
    ended = getattr(command_runs, script)(setting, *asked_too, directory=tmp_path / "run")
    assert line in ended.the_error()
    assert not list((tmp_path / "run").glob("*.json"))


def test_a_setting_that_is_refused_takes_nothing_that_was_measured(asked, tmp_path):
    patch = asked / "patch.safetensors"
    assert judge(patch, "certificate=true", "attacks=pruning", directory=tmp_path).code == 0
    names = ("evaluation.json", "paragraphs.parquet", "attacks.json", "attacks.parquet", "attacks.html", "certificate.html")
    before = {name: (tmp_path / name).read_bytes() for name in names}
    for typo in ("p_z.top_k=0", "attacks.pruning.shares=[2]", "reference.oracle=/no/where", "lm_eval_limit=3"):
        assert judge(patch, "attacks=pruning", typo, directory=tmp_path).the_error()
        assert {name: (tmp_path / name).read_bytes() for name in names} == before, typo
