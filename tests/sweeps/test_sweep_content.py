"""What the sweep's page and text say, from folders with known numbers."""

import json

import fake_sweeps
import pytest

from memunlearn.sweeps.content import content_of
from memunlearn.sweeps.markdown import OVER_CLUSTERS, markdown, mean_text, share_text, table
from memunlearn.sweeps.means import Mean
from memunlearn.sweeps.quantities import FORGET_EM, RETAIN_KL
from memunlearn.sweeps.runs import read_sweep


@pytest.fixture
def sweep(tmp_path):
    for seed in range(3):
        fake_sweeps.write_run(tmp_path / f"{seed}", fake_sweeps.config(seed=seed), trajectory=False)
    fake_sweeps.write_run(tmp_path / "3", fake_sweeps.config(mask="random"))
    fake_sweeps.write_failure(tmp_path / "4")
    (tmp_path / "5" / ".hydra").mkdir(parents=True)
    return tmp_path


def changed(folder, **values):
    path = folder / "result.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def test_the_headline_counts(sweep):
    assert content_of(read_sweep(sweep)).headline == ("4 of 6 runs finished: 2 settings, 3 seeds. 1 failed and 1 unfinished.")
    for name in ("0", "1", "2", "4", "5"):
        (sweep / name).rename(sweep.parent / f"elsewhere-{name}")
    assert content_of(read_sweep(sweep)).headline == "1 of 1 run finished: 1 setting, 1 seed."


def test_settings_and_their_seeds(sweep):
    content = content_of(read_sweep(sweep))
    assert [(row.label, row.seeds) for row in content.setting_rows] == [("gradient", ("0", "1", "2")), ("random", ("0",))]
    results = [json.loads((sweep / name / "result.json").read_text())["after"] for name in "012"]
    forget_em = next(mean for mean in content.setting_rows[0].means if mean.quantity == FORGET_EM)
    assert forget_em.value == pytest.approx(sum(result["forget"]["em"] for result in results) / 3)
    assert content.notes == (fake_sweeps.NOTE,)


def test_jobs_have_the_numbers_of_their_result(sweep):
    changed(sweep / "1", stopped_because="forget_em", kept_step=8)
    changed(sweep / "2", stopped_because="something else", kept_step=None)
    jobs = {job.run.folder: job for job in content_of(read_sweep(sweep)).jobs}
    assert list(jobs) == ["0", "1", "2", "3"] and jobs["3"].label == "random" and jobs["2"].seed == "2"
    for name, job in jobs.items():
        after = json.loads((sweep / name / "result.json").read_text())["after"]
        assert job.forget_em.value == pytest.approx(after["forget"]["em"])
        assert job.bystander_em.value == pytest.approx(after["bystander"]["em"])
        assert job.retain_kl.value == pytest.approx(after["retain"]["kl"])
    assert jobs["0"].stopped == "the limit on steps was reached"
    assert jobs["1"].stopped == "the forget set had reached its target" and jobs["1"].kept_step == 8
    assert jobs["2"].stopped == "something else" and jobs["2"].kept_step == jobs["2"].run.result["steps"]


def test_what_was_lost_and_what_was_left_out_is_said(sweep):
    fake_sweeps.write_run(sweep / "9", fake_sweeps.config(seed=1))  # again
    changed(sweep / "3", stopped_because="nan")
    (sweep / "2" / "paragraphs.parquet").unlink()
    content = content_of(read_sweep(sweep))
    assert [(run.folder, why) for run, why in content.lost] == [
        ("4", "mask.layers=[99]: the model has layers 0 to 3"),
        ("5", "unfinished: no result.json and no error.json"),
    ]
    assert "9: the same setting and seeds as an earlier run; left out" in content.remarks
    assert "3: the loss became NaN; its last good state counts" in content.remarks
    assert any(remark.startswith("2: paragraphs.parquet") for remark in content.remarks)


def cells(line):
    return [cell.strip() for cell in line.strip("|").split(" | ")]


def rows_of_table(text, heading):
    lines = text.partition(f"## {heading}\n")[2].partition("\n## ")[0].splitlines()
    rows = [cells(line) for line in lines if line.startswith("| ")]
    return [dict(zip(rows[0], row, strict=True)) for row in rows[1:]]


def test_the_text_has_every_table(sweep):
    content = content_of(read_sweep(sweep))
    text = markdown("my | sweep", content)
    note = "> The demo is a test of the software & no evidence about &lt;larger> models."
    assert text.startswith(f"# memunlearn: sweep my \\| sweep\n\n{note}\n\n{content.headline}\n")
    first, second = rows_of_table(text, "Settings")
    assert (first["setting"], first["seeds"], second["setting"]) == ("gradient", "3", "random")
    forget_em = content.setting_rows[0].means[0]
    assert first["forget EM (tokens)"] == f"{forget_em.value:.2f}"
    assert "- forget EM, " in text and ": fewer than 5 seeds: no interval" in text
    jobs = rows_of_table(text, "Runs")
    assert [job["run"] for job in jobs] == ["0", "1", "2", "3"] and OVER_CLUSTERS in text
    share = content.jobs[0].memorized
    assert jobs[0]["still memorized"] == f"{share.hits} of {share.clusters} clusters" and share.clusters == 6
    assert jobs[0]["retain KL"].startswith(f"{content.jobs[0].retain_kl.value:.4f}")
    lost = rows_of_table(text, "Failed and unfinished")
    assert lost[0] == {
        "run": "4",
        "state": "failed",
        "overrides": "mask=all mask.layers=[99]",
        "why": "mask.layers=[99]: the model has layers 0 to 3",
    }


def test_comparisons_in_the_text(sweep):
    content = content_of(read_sweep(sweep))
    (comparison,) = content.comparisons
    text = markdown("sweep", content)
    assert f"### {comparison.title}" in text and comparison.title == "gradient mask versus random mask"
    (end, *_) = rows_of_table(text, "Comparisons")
    found = comparison.differences[0]
    assert end["when"] == "at the end of the runs" and end["what"] == "forget EM" and end["unit"] == "tokens"
    assert (end["the gradient mask"], end["the random mask"]) == (f"{found.mean_a:.2f}", f"{found.mean_b:.2f}")
    assert [end[key] for key in ("difference", "95 % interval", "p", "seeds", "over")] == [f"{found.mean:+.2f}", *"--1-"]
    assert f"- at the end of the runs, forget EM: seed 0: {found.mean:+.2f}" in text


def test_nothing_has_finished_yet(tmp_path):
    fake_sweeps.write_failure(tmp_path / "0")
    content = content_of(read_sweep(tmp_path))
    text = markdown("sweep", content)
    assert content.headline == "0 of 1 run finished: 0 settings, 0 seeds. 1 failed." and content.setting_rows == ()
    assert "## Settings" not in text and "## Runs" not in text and "## Failed and unfinished" in text


def test_cells_cannot_break_a_table():
    text = table(["a", "longer"], [["x | y", "<b>\nz"], ["", "1"]])
    assert text.splitlines() == [
        "| a      | longer   |",
        "|--------|----------|",
        "| x \\| y | &lt;b> z |",
        "|        | 1        |",
    ]


def test_means_and_shares_in_a_cell():
    assert mean_text(Mean(FORGET_EM, 3.14159, (2.1, 4.05), "seeds")) == "3.14 (2.10 to 4.05)"
    assert mean_text(Mean(RETAIN_KL, 0.012345, None, "few")) == "0.0123" and mean_text(Mean(FORGET_EM, None, None, "")) == "-"
    assert share_text((0.0, 0.10886)) == "0.0 to 10.9 %" and share_text(None) == ""
