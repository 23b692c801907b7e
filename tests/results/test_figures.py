"""The figures of a run: which there are, and that they hold the run's numbers."""

import dataclasses

import fake_results
import pytest

from memunlearn.charts.description import Distributions, Heat, Lines, Scatter
from memunlearn.charts.labels import categories
from memunlearn.results.figure_data import mask_grid, set_rows
from memunlearn.results.figures import before_after, em_nll, mask, run_charts, training
from memunlearn.scoring.metric import Unit
from memunlearn.scoring.metrics import EM, METRICS


def charts(n=5):
    return {chart.name: chart for chart in run_charts(fake_results.result(), fake_results.curve(), fake_results.paragraphs(n))}


def test_a_run_has_five_figures_with_captions_and_texts_for_those_who_do_not_see_them():
    made = charts()
    assert list(made) == ["training", "em", "nll", "em_nll", "mask"]
    for chart in made.values():
        assert len(chart.caption) > 30 and len(chart.alt) > 40 and chart.caption.endswith(".") and chart.alt.endswith(".")


def test_the_training_curve_is_tokens_above_kl():
    curve = fake_results.curve()
    tokens, kl = charts()["training"].panels
    assert isinstance(tokens, Lines) and (tokens.y_label, kl.y_label) == ("tokens", "nats per token")
    drawn = {series.label: series for panel in (tokens, kl) for series in panel.series}
    for label, key in (("forget EM", "check/forget_em"), ("retain_val KL", "check/retain_val_kl")):
        rows = [row for row in curve if row.get(key) is not None]
        assert drawn[label].x == [row["step"] for row in rows] and drawn[label].y == [row[key] for row in rows]
    assert [series.label for series in kl.series] == ["retain_val KL"]
    looks = [(series.colour, series.marker, series.dash) for series in drawn.values()]
    assert len({look[0] for look in looks}) == len({look[1:] for look in looks}) == len(looks)


def test_a_metric_that_is_checked_has_a_line(monkeypatch):
    agreement = dataclasses.replace(
        EM, key="agreement", label="agreement", unit=Unit("% of positions", lambda _: 1.0, scale=100.0), checked=("retain_val",)
    )
    monkeypatch.setattr("memunlearn.results.figures.METRICS", [*METRICS, agreement])
    curve = [{"step": 1, "check/forget_em": 50.0, "check/retain_val_agreement": 0.75, "check/retain_val_kl": 0.1}]
    panels = training(curve).panels
    assert [(panel.y_label, [series.label for series in panel.series]) for panel in panels] == [
        ("tokens", ["forget EM"]),
        ("nats per token", ["retain_val KL"]),
        ("% of positions", ["retain_val agreement"]),
    ]
    assert panels[2].series[0].y == [75.0]


def test_the_lines_of_a_check_in_their_order():
    names = ("forget_em", "forget_em_p95", "forget_longest_run", "forget_longest_common_run", "alternative_em")
    curve = [{"step": 1, **{f"check/{name}": 1.0 for name in (*reversed(names), "bystander_val_em")}}]
    (panel,) = training(curve).panels
    assert [series.label for series in panel.series] == [
        "forget EM",
        "forget longest run",
        "forget longest common run",
        "alternative EM",
        "bystander_val EM",
    ]


@pytest.mark.parametrize(
    "curve",
    [
        [{"step": 0, "check/forget_em": 50.0}],
        [{"step": 0, "check/retain_val_kl": 0.1}, {"step": 1, "check/retain_val_kl": float("nan")}, {"check/forget_em": 3.0}],
        [{"step": 0, "check/forget_em": 50.0, "check/forget_longest_run": None}],
    ],
)
def test_curves_with_gaps_are_drawn(curve):
    (panel,) = training(curve).panels
    assert [series.x for series in panel.series] == [[0]]


def test_the_curve_of_an_edit_shows_the_alternatives():
    curve = [{"step": 0, "check/forget_em": 50.0, "check/alternative_em": 0.5}, {"step": 5, "check/alternative_em": 41.0}]
    (panel,) = training(curve).panels
    assert {series.label: series.y for series in panel.series} == {"forget EM": [50.0], "alternative EM": [0.5, 41.0]}


@pytest.mark.parametrize("curve", [[], [{"step": 0, "train/loss": 1.0}], [{"step": 0, "check/forget_em": float("nan")}]])
def test_a_curve_without_checks_is_no_figure(curve):
    assert training(curve) is None and run_charts({}, curve, []) == []


def test_without_numbers_there_is_no_figure():
    assert run_charts({"mask": None}, [], []) == []
    assert before_after([], "em") is None and em_nll([]) is None and mask(None) is None


@pytest.mark.parametrize("metric", ["em", "nll"])
def test_every_paragraph_before_and_after_two_boxes_a_set(metric):
    rows = fake_results.paragraphs(5)
    (panel,) = charts()[metric].panels
    assert isinstance(panel, Distributions) and panel.mean and metric.upper() in panel.y_label
    sets = list(dict.fromkeys(row["set"] for row in rows))
    assert [(group.label, group.name) for group in panel.groups] == [
        (name, when) for name in sets for when in ("before", "after")
    ]
    for group in panel.groups:
        of = [row for row in rows if row["set"] == group.label]
        assert group.values == [row[f"{metric}_{group.name}"] for row in of]
        assert group.text == [f"{group.label} {row['index']}, {group.name}" for row in of]
    assert [label.partition("\n")[0] for label in categories(panel)] == sets


def test_em_against_nll_on_the_same_axes_with_a_look_a_set():
    rows = fake_results.paragraphs(5)
    chart = charts()["em_nll"]
    assert chart.shared and [panel.title for panel in chart.panels] == ["before", "after"]
    for panel in chart.panels:
        assert isinstance(panel, Scatter)
        for series in panel.series:
            of = [row for row in rows if row["set"] == series.label]
            assert series.x == [row[f"em_{panel.title}"] for row in of]
            assert series.y == [row[f"nll_{panel.title}"] for row in of]
        assert len({series.colour for series in panel.series}) == len({series.marker for series in panel.series}) == 3


def test_every_axis_of_numbers_starts_at_zero():
    panels = [panel for name in ("training", "em", "nll", "em_nll") for panel in charts()[name].panels]
    assert all(panel.zero for panel in panels) and all(panel.zero_x for panel in panels if isinstance(panel, Lines))


@pytest.mark.parametrize("metric", ["em", "nll"])
def test_captions_of_boxes_say_what_is_drawn(metric):
    caption = charts()[metric].caption
    assert all(part in caption for part in ("quartiles", "median", "1.5 interquartile ranges", "dotted line is the mean"))


def test_the_mask_is_a_map_of_shares_that_says_counts():
    grid = mask_grid(fake_results.result()["mask"])
    (panel,) = charts()["mask"].panels
    assert isinstance(panel, Heat) and (panel.rows, panel.columns, panel.values) == (grid.layers, grid.kinds, grid.shares)
    assert panel.texts[0][0] == f"{grid.counts[0][0]:,} of {grid.sizes[0][0]:,} weights" and panel.unit.startswith("%")


def test_the_charts_hold_every_row_and_leave_the_thinning_to_the_drawing():
    row = {"set": "retain", "em_before": 0, "em_after": 0, "nll_before": 1.0, "nll_after": 1.0}
    (rows,) = set_rows([{**row, "index": index} for index in range(2500)])
    assert rows.index == list(range(2500)) and len(before_after([rows], "em").panels[0].groups[0].values) == 2500


def test_rows_without_finite_numbers_are_not_drawn():
    row = {"set": "retain", "index": 1, "em_before": 0, "em_after": 0, "nll_before": 1.0, "nll_after": float("inf")}
    assert set_rows([row, {"set": "retain", "em_before": 3}]) == []


def test_sets_come_in_the_order_of_the_tables():
    numbers = {"index": 0, "em_before": 50, "em_after": 50, "nll_before": 0.0, "nll_after": 0.0}
    names = ["retain", "other", "forget", "bystander"]
    assert [rows.name for rows in set_rows([{"set": name, **numbers} for name in names])][:3] == [
        "forget",
        "bystander",
        "retain",
    ]


def test_the_grid_orders_layers_by_number_and_knows_shares():
    counts = {"0.q": 12, "10.mlp_in": 3, "2.q": 1400}
    grid = mask_grid({"per_component": counts, "size_per_component": {"0.q": 48, "10.mlp_in": 4, "2.q": 2800, "2.mlp_in": 4}})
    assert grid.kinds == ["q", "mlp_in"] and grid.layers == ["0", "2", "10"]
    assert grid.counts == [[12, 0], [1400, 0], [0, 3]]
    assert grid.shares == [[25.0, None], [50.0, 0.0], [None, 75.0]]


def test_a_grid_without_sizes_or_layers():
    grid = mask_grid({"per_component": {"q": 2}})
    assert (grid.kinds, grid.layers, grid.counts, grid.shares) == (["q"], ["-"], [[2]], None)
    assert mask(grid) is None and mask_grid({"k": 5}) is None and mask_grid(None) is None
