"""A metric that a test adds to the list is everywhere that metrics are, and gone with the test."""

import re
import shutil

import command_runs
import pyarrow.parquet
import pytest

from memunlearn.evaluation.summary import entry_of
from memunlearn.reporting.sweep_summary import write_summary
from memunlearn.results.curve import read_curve
from memunlearn.scoring.metric import TOKENS, FromPass, FromPassAndBase, FromText, Metric, Unit
from memunlearn.scoring.metrics import METRICS


def alike(given):
    return given.logits.argmax(-1) == given.base_logits.argmax(-1)


MISSES = Metric(
    key="misses",
    label="wrong tokens",
    unit=TOKENS,
    digits=1,
    definition="continuation tokens that are not the most likely one",
    source=FromPass(lambda given: (~given.hits).long().sum(1)),
    forgotten="higher",
    kept="lower",
    checked=("forget", "retain_val"),
    swept=("forget", "retain"),
)
AGREEMENT = Metric(
    key="agreement",
    label="the same first choice",
    unit=Unit("% of positions", lambda _: 1.0, scale=100.0),
    digits=1,
    definition="positions at which the most likely token is the base model's",
    source=FromPassAndBase(
        lambda given: (given.logits.argmax(-1) == given.base_logits.argmax(-1)).double().mean(1), itself=1.0
    ),
    kept="higher",
    checked=("retain_val",),
    swept=("retain",),
)
FIRST = Metric(
    key="first_said",
    label="first token said",
    unit=Unit("% of rows", lambda _: 1.0, whole=True, scale=100.0),
    digits=1,
    definition="rows whose first token is said",
    source=FromText(lambda said, true: (said[:, 0] == true[:, 0]).long()),
    forgotten="lower",
)


@pytest.fixture
def more_metrics():
    METRICS.extend([MISSES, AGREEMENT, FIRST])
    yield
    del METRICS[-3:]


def mean(rows, name, column):
    values = [row[column] for row in rows if row["set"] == name and row[column] is not None]
    return sum(values) / len(values)


def test_it_is_everywhere(more_metrics, tmp_path):
    folder = tmp_path / "sweep" / "0"
    ended = command_runs.train(directory=folder)
    assert ended.code == 0, ended.err
    result, rows = ended.result, command_runs.read_rows(folder)
    in_result_and_rows(result, rows)
    in_checks(folder, result)
    html = (folder / "report.html").read_text()
    text = " ".join(re.sub(r"<[^>]*>", " ", html.partition("<body>")[2]).split())
    low, high = result["after"]["retain"]["misses_ci"]
    before, after = (result[when]["retain"]["misses"] for when in ("before", "after"))
    assert f"wrong tokens tokens {before:.1f}" in text and f"{after:.1f} {low:.1f} to {high:.1f}" in text
    assert "the same first choice % of positions 100.0" in text and "first token said % of rows" in text
    assert '["wrong tokens","misses",0]' in html  # beside each paragraph
    assert "forget wrong tokens" in html and "retain_val the same first choice" in html  # lines of the training curve
    in_the_sweep(tmp_path / "sweep", result)
    judged(folder, result, tmp_path / "judged")


def in_result_and_rows(result, rows):
    for when in ("before", "after"):
        for name in ("forget", "bystander", "retain"):
            entry = result[when][name]
            assert entry["misses"] == pytest.approx(mean(rows, name, f"misses_{when}"))
            assert entry["first_said"] == pytest.approx(mean(rows, name, f"first_said_{when}"))
    low, high = result["after"]["retain"]["misses_ci"]
    assert 0 <= low < result["after"]["retain"]["misses"] < high <= 10
    assert result["before"]["retain"]["agreement"] == 1.0
    assert result["after"]["retain"]["agreement"] == pytest.approx(mean(rows, "retain", "agreement"))
    assert result["before"]["forget"]["misses"] == 0 < result["after"]["forget"]["misses"]
    assert result["before"]["forget"]["first_said_n"] == result["before"]["forget"]["n"]
    assert "misses" in result["after"]["forget"]["interval_note"]


def in_checks(folder, result):
    assert result["kept_check"]["forget_misses"] > 0 and 0 < result["kept_check"]["retain_val_agreement"] <= 1
    curve = read_curve(folder / "metrics.csv")
    checks = [row for row in curve if "check/forget_misses" in row]
    kept = next(row for row in checks if row["step"] == result["kept_step"])
    assert kept["check/retain_val_misses"] == result["kept_check"]["retain_val_misses"]
    assert any(row.get("after/retain/agreement") == result["after"]["retain"]["agreement"] for row in curve)
    trajectory = pyarrow.parquet.read_table(folder / "trajectory.parquet").to_pylist()
    for check in checks:
        found = [row["misses"] for row in trajectory if (row["step"], row["set"]) == (check["step"], "forget")]
        assert check["check/forget_misses"] == pytest.approx(sum(found) / len(found))
        assert all(isinstance(value, int) for value in found)


def in_the_sweep(sweep, result):
    write_summary(sweep)
    (row,) = pyarrow.parquet.read_table(sweep / "sweep.parquet").to_pylist()
    after = result["after"]["retain"]
    assert row["after/retain/misses"] == after["misses"]
    assert [row["after/retain/misses_low"], row["after/retain/misses_high"]] == after["misses_ci"]
    table = (sweep / "sweep.md").read_text().partition("## Settings")[2].split("\n\n")[2].splitlines()
    cells = dict(zip(*([cell.strip() for cell in table[line].strip("|").split("|")] for line in (0, 2)), strict=True))
    low, high = after["misses_ci"]
    assert cells["retain wrong tokens (tokens)"] == f"{after['misses']:.2f} ({low:.2f} to {high:.2f})"
    assert cells["retain the same first choice (% of positions)"].startswith(f"{100 * after['agreement']:.2f}")
    assert cells["forget wrong tokens (tokens)"] == f"{result['after']['forget']['misses']:.2f}"
    assert "forget wrong tokens" in (sweep / "sweep.html").read_text()


def judged(folder, result, directory):
    ended = command_runs.evaluate(f"patch={folder / 'patch.safetensors'}", directory=directory)
    assert ended.code == 0, ended.err
    sets = command_runs.read_result(directory, "evaluation.json")["sets"]
    for key in ("misses", "agreement"):
        assert sets["retain"][key] == pytest.approx(result["after"]["retain"][key], abs=1e-6)
        assert mean(command_runs.read_rows(directory), "retain", key) == pytest.approx(sets["retain"][key], abs=1e-6)


def test_afterwards_nothing_of_it_is_left(tmp_path, gradient_run):
    """Not in the cache of what was measured on the base model either."""
    shutil.copytree(gradient_run, tmp_path / "0")
    write_summary(tmp_path)
    assert "wrong tokens" not in (tmp_path / "sweep.md").read_text()
    assert "misses" not in command_runs.read_result(gradient_run)["after"]["retain"] and entry_of([]) is None


def test_what_was_kept_of_the_base_model_is_scored_again_for_a_new_metric(more_metrics, tmp_path, gradient_run):
    """`gradient_run` has filled the cache without it, with the same rows."""
    ended = command_runs.train(directory=tmp_path)
    assert ended.code == 0, ended.err
    rows = command_runs.read_rows(tmp_path)
    assert all(row["misses_before"] is not None for row in rows)
