"""The figures of attacks: the numbers of attacks.json and no others."""

import dataclasses

import fake_attacks
import pytest

from memunlearn.charts.description import Bars, Lines
from memunlearn.charts.files import picture
from memunlearn.charts.vega_lite import figure
from memunlearn.results.attacks.content import CONTENT, read_attacks
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
    assert isinstance(half, Lines) and half.log_x
    assert (half.title, unrelated.title) == ("trained on half", "trained on unrelated")
    drawn = {series.label: series for series in half.series}
    assert list(drawn) == ["base", "unlearned", "oracle"]
    unlearned = drawn["unlearned"]
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

    unlearned = _changed(content, change).series[1]
    assert unlearned.label == "unlearned" and all("lr 0.001" in text for text in unlearned.text)


def test_points_that_do_not_count_are_left_out_where_others_do(content):
    def change(attempt):
        return dataclasses.replace(attempt, counts=attempt.settings["steps"] != 5)

    assert _changed(content, change).series[1].x == [10.0, 30.0, 100.0]


def test_a_setting_that_is_no_number_is_not_drawn(content):
    def change(attempt):
        return dataclasses.replace(attempt, settings=attempt.settings | {"steps": "many"})

    attack = content.attacks["relearning"]
    changed = dataclasses.replace(attack, attempts=tuple(map(change, attack.attempts)))
    assert len(attack_charts(dataclasses.replace(content, attacks={"relearning": changed}))) == 1


def test_where_none_counts_that_is_said(content):
    panel = _changed(content, lambda attempt: dataclasses.replace(attempt, counts=attempt.subject != "oracle"))
    assert [series.label for series in panel.series][2] == "oracle (does not count)"


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


def one_attack(name, attempts, subjects=("base", "unlearned")):
    """A content with a single attack, read as a file is."""
    plain = fake_attacks.content() | {"subjects": subjects, "attacks": {name: fake_attacks.entry(attempts)}}
    return CONTENT.validate_python(plain)


def panels_of(name, attempts, **more):
    return attack_charts(one_attack(name, attempts, **more))[1].panels


def test_every_figure_can_be_drawn_for_the_page_and_for_paper(charts):
    for chart in charts.values():
        for columns, width in ((chart.columns, 900), (1, 350)):
            drawn = figure(chart, columns, width)
            assert drawn.datasets and fake_attacks.HOSTILE not in drawn.spec
    made = picture(charts["relearning"])
    assert made.png.startswith(b"\x89PNG") and made.pdf.startswith(b"%PDF")


def test_points_are_joined_along_x_whatever_their_order():
    attempts = [fake_attacks.attempt("unlearned", {"share": share}, 10 * share) for share in (0.5, 0.1, 0.3)]
    em, _ = panels_of("pruning", attempts)
    assert em.series[0].x == [0.1, 0.3, 0.5] and em.series[0].y == pytest.approx([1, 3, 5])


def test_where_no_interval_is_honest_none_is_drawn():
    known = fake_attacks.attempt("unlearned", {"share": 0.1}, 4.0)
    unknown = fake_attacks.attempt("unlearned", {"share": 0.2}, 4.0, em_ci=None, longest_run_ci=None)
    some, _ = panels_of("pruning", [known, unknown])
    assert some.series[0].low == [3.0, None] and some.series[0].high == [5.0, None]
    none, _ = panels_of("pruning", [unknown])
    assert none.series[0].low is None and none.series[0].high is None
    bars, _ = panels_of("positions", [unknown])
    assert bars.series[0].low is None


def test_a_model_that_was_not_attacked_has_no_line_and_no_bar():
    attempts = [fake_attacks.attempt("base", {"n": n}, 5.0, extra={"em_expected": 4.0}) for n in (1, 10)]
    (panel,) = panels_of("sampling", attempts)
    assert [series.label for series in panel.series] == ["base", "base, expected"]
    bars, _ = panels_of("quantization", [fake_attacks.attempt("base", {"kind": "int8"}, 5.0)])
    assert [series.label for series in bars.series] == ["base"]


def test_a_bar_that_one_model_lacks_is_a_gap():
    attempts = [
        fake_attacks.attempt("base", {"kind": "int8"}, 5.0),
        fake_attacks.attempt("unlearned", {"kind": "int8"}, 1.0),
        fake_attacks.attempt("unlearned", {"kind": "nf4"}, 2.0),
    ]
    em, _ = panels_of("quantization", attempts)
    assert em.categories == ["kind int8", "kind nf4"] and [series.y for series in em.series] == [[5.0, None], [1.0, 2.0]]


def test_what_is_not_expected_is_not_drawn():
    attempts = [fake_attacks.attempt("base", {"n": n}, 5.0) for n in (1, 10)]
    (panel,) = panels_of("sampling", attempts)
    assert panel.series[1].y == [None, None]


def test_a_model_of_another_name_has_a_look_of_its_own():
    attempts = [fake_attacks.attempt(name, {"share": 0.1}, 4.0) for name in ("base", "retrained")]
    em, _ = panels_of("pruning", attempts, subjects=("base", "retrained"))
    colours = {series.label: series.colour for series in em.series}
    assert colours["retrained"] not in {colour for colour, _, _ in SUBJECT_LOOKS.values()}


def test_attempts_without_the_setting_along_x_have_no_line():
    attempts = [fake_attacks.attempt("unlearned", {"kind": "all at once"}, 4.0)]
    assert [chart.name for chart in attack_charts(one_attack("pruning", attempts))] == ["worst"]
