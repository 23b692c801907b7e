"""Means of runs and settings against the same numbers from the rows of their files."""

import fake_sweeps
import numpy as np
import pytest
import torch

from memunlearn.evaluation.suite import Measurement
from memunlearn.evaluation.summary import summarize
from memunlearn.scoring.metrics import LONGEST_COMMON_RUN
from memunlearn.scoring.score import ParagraphScores
from memunlearn.statistics.seeds import two_level_interval
from memunlearn.sweeps.job_rows import job_rows
from memunlearn.sweeps.means import mean_of_run, memorized_after, setting_means
from memunlearn.sweeps.quantities import columns
from memunlearn.sweeps.runs import read_sweep
from memunlearn.sweeps.settings import settings_of


def means(folder):
    (setting,) = settings_of(read_sweep(folder))
    return setting, {mean.quantity.label: mean for mean in setting_means([setting])[0]}


@pytest.fixture
def one_row_a_cluster(monkeypatch):
    monkeypatch.setattr(fake_sweeps, "ROWS_A_CLUSTER", 1)


def write(folder, seeds, **more):
    for seed in range(seeds):
        fake_sweeps.write_run(folder / str(seed), fake_sweeps.config(seed=seed), 0.5, **more)
    return folder


def test_five_seeds_have_a_two_level_interval(tmp_path):
    setting, found = means(write(tmp_path, 5))
    rows = [[row for row in run.paragraphs if row["set"] == "forget"] for run in setting.runs]
    value, interval = two_level_interval([([r["em_after"] for r in one], [r["cluster"] for r in one]) for one in rows])
    assert found["forget EM"].value == pytest.approx(np.mean([run.result["after"]["forget"]["em"] for run in setting.runs]))
    assert found["forget EM"].value == pytest.approx(value) and found["forget EM"].interval == pytest.approx(interval)
    assert found["forget EM"].unit == "seeds x clusters" and found["kept step"].unit == "seeds"


def test_no_interval_goes_beyond_what_a_value_can_be(tmp_path):
    """Bystander EM is C or a little below in every seed: Student's t alone would go above C."""
    for seed, harm in enumerate((0.01, 0.01, 0.01, 0.01, 0.9)):
        fake_sweeps.write_run(tmp_path / str(seed), fake_sweeps.config(seed=seed), 0.5, harm)
    setting, found = means(tmp_path)
    rows = [[row for row in run.paragraphs if row["set"] == "bystander"] for run in setting.runs]
    _, (low, high) = two_level_interval([([r["em_after"] for r in one], [r["cluster"] for r in one]) for one in rows])
    assert high > fake_sweeps.C and found["bystander EM"].interval == pytest.approx((low, fake_sweeps.C))


def test_edits_have_a_column_for_what_is_recited_instead(tmp_path):
    for seed in range(5):
        fake_sweeps.write_run(tmp_path / "edit" / str(seed), fake_sweeps.config("edit", seed=seed), 0.5)
        fake_sweeps.write_run(tmp_path / "unlearn" / str(seed), fake_sweeps.config(seed=seed), 0.5)
    edit, unlearn = settings_of(read_sweep(tmp_path))
    (edited, unlearned), (alone,) = (
        [{mean.quantity.label: mean for mean in row} for row in setting_means(some)] for some in ([edit, unlearn], [unlearn])
    )
    rows = [[row for row in run.paragraphs if row["alternative"]] for run in edit.runs]
    value, interval = two_level_interval([([r["alternative_em"] for r in one], [r["cluster"] for r in one]) for one in rows])
    assert edited["alternative EM"].value == pytest.approx(value) and edited["alternative EM"].unit == "seeds x clusters"
    assert edited["alternative EM"].interval == pytest.approx(interval)
    assert unlearned["alternative EM"].value is None and "alternative EM" not in alone and list(unlearned) == list(edited)


def test_what_is_still_said_has_a_column_where_it_was_decoded(tmp_path):
    setting, found = means(write(tmp_path, 5))
    rows = [[row for row in run.paragraphs if row["set"] == "forget"] for run in setting.runs]
    values = [([r["longest_common_run_after"] for r in one], [r["cluster"] for r in one]) for one in rows]
    value, interval = two_level_interval(values)
    assert found["forget longest common run"].value == pytest.approx(value)
    assert found["forget longest common run"].interval == pytest.approx(interval)
    (row, *_) = job_rows(setting.runs)
    assert row["after/forget/longest_common_run"] == setting.runs[0].result["after"]["forget"]["longest_common_run"]
    for run in setting.runs:
        del run.result["after"]["forget"]["longest_common_run"]  # as runs of earlier versions have it
    assert "forget longest common run" not in {mean.quantity.label for mean in setting_means([setting])[0]}


def test_four_seeds_have_means_only(tmp_path):
    setting, found = means(write(tmp_path, 4))
    assert found["retain KL"].value == pytest.approx(np.mean([run.result["after"]["retain"]["kl"] for run in setting.runs]))
    assert all(mean.interval is None and mean.unit == "fewer than 5 seeds: no interval" for mean in found.values())


def test_one_run_is_conditional_on_itself(tmp_path, one_row_a_cluster):
    _, found = means(write(tmp_path, 1))
    assert found["forget EM"].unit == "clusters, conditional on this run"
    assert found["forget EM"].interval[0] < found["forget EM"].value < found["forget EM"].interval[1]


def test_trials_are_the_unit_one_paragraph_at_a_time(tmp_path, one_row_a_cluster):
    _, found = means(write(tmp_path / "five", 5, trials=True))
    assert found["bystander EM"].unit == "seeds x trials"
    _, found = means(write(tmp_path / "one", 1, trials=True))
    assert found["bystander EM"].unit == "clusters and trials, conditional on this run"
    assert found["forget EM"].unit == "clusters, conditional on this run"


def test_a_run_has_the_interval_of_its_own_result(tmp_path, one_row_a_cluster):
    """Of one paragraph at a time: the page of the sweep and result.json say the same."""
    fake_sweeps.write_run(tmp_path / "0", fake_sweeps.config(seed=7), 0.5, trials=True)
    (run,) = read_sweep(tmp_path)
    for column in [one for one in columns()[:5] if one.metric is not LONGEST_COMMON_RUN]:  # nothing is decoded here
        rows = [row for row in run.paragraphs if row["set"] == column.set]
        cluster_of = {row["trial"]: row["cluster"] for row in run.paragraphs if row["set"] == "forget"}
        em = torch.tensor([round(row["em_after"]) for row in rows])
        longest = torch.tensor([row["longest_run_after"] for row in rows])
        token_nll = torch.tensor([[row["nll_after"]] * fake_sweeps.C for row in rows], dtype=torch.float64)
        measured = Measurement(
            torch.tensor([row["cluster"] for row in rows]),
            ParagraphScores({"em": em, "longest_run": longest, "nll": token_nll.mean(1)}, token_nll),
            None,
            torch.tensor([cluster_of[row["trial"]] for row in rows]),
        )
        summary, shown = summarize(measured, seed=7).numbers, mean_of_run(run, column)
        assert shown.value == pytest.approx(summary[column.metric.key])
        if column.metric.key == "nll":  # the same in all of them
            assert shown.interval is None and summary["nll_ci"] is None and "the same in every cluster" in shown.unit
        else:
            assert shown.interval == pytest.approx(summary[f"{column.metric.key}_ci"])


def test_few_clusters_have_no_interval_and_it_says_why(tmp_path):
    fake_sweeps.write_run(tmp_path / "0", fake_sweeps.config(), 0.5)
    _, found = means(tmp_path)
    assert found["forget EM"].interval is None
    assert found["forget EM"].unit == "no interval: 6 clusters, and an interval needs 10"
    (run,) = read_sweep(tmp_path)
    assert memorized_after(run).interval is None


def test_without_rows_the_interval_is_over_seeds(tmp_path):
    write(tmp_path, 5)
    (tmp_path / "3" / "paragraphs.parquet").unlink()
    _, found = means(tmp_path)
    assert found["forget EM"].unit == "seeds" and found["forget EM"].interval is not None


def test_the_share_still_memorized_is_counted_by_cluster(tmp_path, monkeypatch):
    monkeypatch.setattr(fake_sweeps, "FORGET", 24)
    fake_sweeps.write_run(tmp_path / "none", fake_sweeps.config(), speed=5)
    fake_sweeps.write_run(tmp_path / "all", fake_sweeps.config(seed=1), speed=0)
    everything, nothing = (memorized_after(run) for run in read_sweep(tmp_path))
    assert (nothing.hits, nothing.clusters, everything.hits) == (0, 12, 12)
    assert nothing.interval == pytest.approx((0, 1 - 0.025 ** (1 / 12)))
    (run, _) = read_sweep(tmp_path)
    run.config["paragraphs"].pop("continuation_length")
    assert memorized_after(run) is None
