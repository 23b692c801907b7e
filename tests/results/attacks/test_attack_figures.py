"""The figures of attacks: the numbers of attacks.json and no others."""

import dataclasses

import fake_attacks
import pytest

from memunlearn.charts.description import Bars, Lines
from memunlearn.results.attacks.content import read_attacks
from memunlearn.results.attacks.figures import SUBJECT_LOOKS, attack_charts


@pytest.fixture(scope="module")
def content(tmp_path_factory):
    return read_attacks(fake_attacks.write_attacks(tmp_path_factory.mktemp("attacks")))


@pytest.fixture(scope="module")
def charts(content):
    return {chart.name: chart for chart in attack_charts(content)}


def test_every_known_attack_has_a_figure_with_words(charts):
    known = ["worst", "relearning", "quantization", "pruning", "partial", "positions", "sampling", "few_shot"]
    assert list(charts) == known
    for chart in charts.values():
        assert chart.caption.endswith("over clusters.") and len(chart.caption) > 40
        assert len(chart.alt) > 40 and chart.alt.endswith(".")


def test_models_differ_in_colour_marker_and_dash():
    assert all(len(set(looks)) == 3 for looks in zip(*SUBJECT_LOOKS.values(), strict=True))


def test_the_worst_of_each_attack_is_a_bar_a_model(charts):
    (panel,) = charts["worst"].panels
    assert isinstance(panel, Bars) and panel.categories[0] == "Relearning" and len(panel.categories) == 8
    assert [series.label for series in panel.series] == ["base", "unlearned", "oracle"]
    unlearned = panel.series[1]
    assert unlearned.y == [12.0, 1.0, 1.8, 2.0, 2.5, 5.0, 2.0, 3.0]
    assert (unlearned.low[0], unlearned.high[0]) == (9.0, 15.0)
    assert panel.series[0].y[3] is None and panel.series[0].low[3] is None  # the partial patch is not tried on the base


def test_relearning_has_a_panel_for_what_was_trained_on_and_the_worst_rate_of_each_model(charts):
    half, unrelated = charts["relearning"].panels
    assert isinstance(half, Lines) and (half.title, unrelated.title) == ("on half", "on unrelated") and half.log_x
    drawn = {series.label: series for series in half.series}
    assert list(drawn) == ["base, lr 0.0002", "unlearned, lr 0.0002", "oracle, lr 0.0002"]
    unlearned = drawn["unlearned, lr 0.0002"]
    assert unlearned.x == [5.0, 10.0, 30.0, 100.0] and unlearned.y == pytest.approx([2.5, 3.0, 5.0, 12.0])
    assert unlearned.low == pytest.approx([0.75 * y for y in unlearned.y])
    assert unlearned.text[0] == "unlearned, on half, lr 0.0002, steps 5"


def _changed(content, change):
    attack = content.attacks["relearning"]
    changed = dataclasses.replace(attack, attempts=tuple(map(change, attack.attempts)))
    return attack_charts(dataclasses.replace(content, attacks={"relearning": changed}))[1].panels[0]


def test_a_rate_whose_attempts_do_not_count_is_not_the_worst(content):
    def change(attempt):
        return dataclasses.replace(attempt, counts=attempt.settings["lr"] == 1e-3)

    assert [series.label for series in _changed(content, change).series][1] == "unlearned, lr 0.001"


def test_where_none_counts_that_is_said(content):
    panel = _changed(content, lambda attempt: dataclasses.replace(attempt, counts=attempt.subject != "oracle"))
    assert [series.label for series in panel.series][2] == "oracle, lr 0.0002 (does not count)"


def test_the_partial_patch_and_pruning_run_over_their_share(charts):
    em, run = charts["partial"].panels
    (series,) = em.series
    assert series.x == [0.0, 0.5, 1.0] and series.y == [19.0, 10.5, 2.0] and run.series[0].y == [20, 13.5, 5.0]
    assert [len(panel.series) for panel in charts["pruning"].panels] == [3, 3]
    assert charts["pruning"].panels[0].series[0].x == [0.1, 0.5]


def test_what_is_expected_of_samples_is_a_dotted_line(charts):
    (panel,) = charts["sampling"].panels
    drawn = {series.label: series for series in panel.series}
    assert len(drawn) == 6 and drawn["unlearned"].y == [2.1, 3.0, 5.0]
    assert drawn["unlearned, expected"].y == pytest.approx([2 + n / 12 for n in (1, 10, 30)])
    assert (drawn["unlearned, expected"].dash, drawn["unlearned, expected"].marker) == (":", "none")


def test_bars_leave_out_what_measured_nothing(charts):
    em, run = charts["few_shot"].panels
    assert em.categories == ["shots 1"] and [series.y for series in em.series] == [[16.0], [2.0], [0.5]]
    assert [series.y for series in run.series] == [[19.0], [5.0], [3.5]]
    assert charts["positions"].panels[0].categories[-1] == "shift any, prefix any"


def test_nothing_made_gives_nothing(content):
    nothing = dataclasses.replace(content.attacks["few_shot"], attempts=(), worst={})
    assert attack_charts(dataclasses.replace(content, attacks={})) == []
    assert attack_charts(dataclasses.replace(content, attacks={"few_shot": nothing, "relearning": nothing})) == []
