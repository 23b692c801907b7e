"""The figures of a sweep: which there are, and that they hold the runs' numbers."""

import dataclasses

import fake_sweeps
import pyarrow.parquet
import pytest
from fake_sweeps import config

from memunlearn.charts.description import Estimates, Lines, Violins
from memunlearn.charts.looks import drawn as as_drawn
from memunlearn.reporting.sweep_page import page
from memunlearn.sweeps.checks import checks_of
from memunlearn.sweeps.comparisons import END
from memunlearn.sweeps.content import content_of
from memunlearn.sweeps.figures import sweep_charts, trajectories
from memunlearn.sweeps.quantities import FORGET_EM
from memunlearn.sweeps.runs import read_sweep
from memunlearn.sweeps.series import Path
from memunlearn.words import counted

HOSTILE = "</script><script>alert(1)</script> | </table> & [bold]"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sweeps") / "sweep"
    fake_sweeps.write_sweep(folder, seeds=5, masks=("gradient", "random"))
    fake_sweeps.write_run(folder / "50", config(model=config()["model"] | {"name_or_path": HOSTILE}))
    return folder


@pytest.fixture(scope="module")
def content(folder):
    return content_of(read_sweep(folder))


@pytest.fixture(scope="module")
def charts(content):
    return {chart.name: chart for chart in sweep_charts(content)}


def test_there_are_three_with_captions_and_texts_for_those_who_do_not_see_them(charts):
    assert list(charts) == ["trajectories", "violins", "differences"]
    assert all(chart.caption.endswith(".") and len(chart.alt) > 40 for chart in charts.values())


def test_trajectories_are_the_checks_a_line_a_run(folder, charts):
    kl, bystander = charts["trajectories"].panels
    assert isinstance(kl, Lines) and len(kl.series) == len(bystander.series) == 26 and charts["trajectories"].shared
    trajectory = pyarrow.parquet.read_table(folder / "0" / "trajectory.parquet").to_pylist()
    steps = sorted({row["step"] for row in trajectory})
    assert kl.series[0].text == [f"seed 0, step {step}" for step in steps]
    for panel, kind, column, axis in (
        (kl, "forget", "em", "y"),
        (kl, "retain_val", "kl", "x"),
        (bystander, "bystander_val", "em", "x"),
    ):
        for step, drawn in zip(steps, getattr(panel.series[0], axis), strict=True):
            values = [row[column] for row in trajectory if row["set"] == kind and row["step"] == step]
            assert drawn == pytest.approx(sum(values) / len(values))


def test_trajectories_are_drawn_from_zero_on(charts):
    assert all(panel.zero and panel.zero_x for panel in charts["trajectories"].panels)


def test_a_setting_has_one_look_and_settings_differ(charts):
    (panel, _) = charts["trajectories"].panels
    looks = {}
    for series in panel.series:
        looks.setdefault(series.label, set()).add((series.colour, series.marker, series.dash))
    assert len(looks) == 6 and all(len(found) == 1 for found in looks.values())
    assert len(set().union(*looks.values())) == 6 and any(HOSTILE in label for label in looks)


def test_looks_of_many_settings_differ_too(content):
    of = tuple(checks_of(content.settings[0].runs[0]))
    chart = trajectories([Path(f"setting {place}", place, "0", of) for place in range(20)])
    looks = {(series.colour, series.marker, series.dash) for series in chart.panels[0].series}
    assert len(looks) == 20


@pytest.mark.parametrize("n", [7, 12, 16])
def test_looks_of_many_settings_are_drawn_as_they_are(content, n):
    of = tuple(checks_of(content.settings[0].runs[0]))
    chart = trajectories([Path(f"setting {place}", place, "0", of) for place in range(n)])
    assert as_drawn(chart) == chart


def test_a_moment_that_was_not_measured_is_no_panel(content):
    run = content.settings[0].runs[0]
    blind = tuple(dataclasses.replace(check, retain_val_kl=None) for check in checks_of(run))
    chart = trajectories([Path("a", 0, "0", blind)])
    assert [panel.x_label for panel in chart.panels] == ["bystander_val EM (tokens)"]
    nothing = tuple(dataclasses.replace(check, bystander_val_em=None) for check in blind)
    assert trajectories([Path("a", 0, "0", nothing)]) is None and trajectories([]) is None


def test_violins_hold_every_paragraph_of_a_setting(folder, charts):
    panels = {panel.title: panel for panel in charts["violins"].panels}
    assert all(isinstance(panel, Violins) for panel in panels.values()) and "near set" not in panels
    row = panels["bystander set"].rows[0]
    for drawn, column in ((row.above, "em_after"), (row.below, "self_em")):
        values = [
            paragraph[column]
            for run in range(5)
            for paragraph in pyarrow.parquet.read_table(folder / str(run) / "paragraphs.parquet").to_pylist()
            if paragraph["set"] == "bystander"
        ]
        assert sorted(drawn) == sorted(values) and len(values) > 20


def test_differences_are_the_seeds_own_with_their_mean_and_interval(content, charts):
    panels = charts["differences"].panels
    assert all(isinstance(panel, Estimates) for panel in panels)
    assert [panel.title.partition(" at the end")[0] for panel in panels] == ["forget EM", "bystander EM", "retain KL"]
    comparison = content.comparisons[0]
    (difference,) = [one for one in comparison.differences if (one.moment, one.quantity) == (END, FORGET_EM)]
    row = panels[0].rows[0]
    assert row.points == [pair.a - pair.b for pair in difference.pairs] and row.mean == difference.mean
    assert (row.low, row.high) == (difference.interval or (None, None))
    assert row.label.startswith(comparison.short)


def test_few_seeds_have_no_interval_and_the_legend_says_so(tmp_path):
    fake_sweeps.write_sweep(tmp_path / "sweep", seeds=2, masks=("gradient", "random"))
    charts = {chart.name: chart for chart in sweep_charts(content_of(read_sweep(tmp_path / "sweep")))}
    for panel in charts["differences"].panels:
        assert panel.mean_label == "mean (no interval)" and all(row.low is row.high is None for row in panel.rows)


def test_one_run_has_no_differences(tmp_path):
    fake_sweeps.write_run(tmp_path / "sweep" / "0", config())
    assert [chart.name for chart in sweep_charts(content_of(read_sweep(tmp_path / "sweep")))] == ["trajectories", "violins"]


def test_the_page_says_where_trajectories_start_and_counts_clusters(content, charts):
    html = page("sweep", content, list(charts.values()))
    assert "from the base model (top left; with bystander EM top right) on" in html
    (share, *_) = [job.memorized for job in content.jobs if job.memorized]
    assert f"{share.hits} of {counted(share.clusters, 'cluster')}<small>" in html
    one = [dataclasses.replace(job, memorized=dataclasses.replace(share, hits=1, clusters=1)) for job in content.jobs]
    assert "1 of 1 cluster<small>" in page("sweep", dataclasses.replace(content, jobs=one), [])
