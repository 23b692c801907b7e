"""One legend a chart."""

import dataclasses

import fake_charts
import pytest

from memunlearn.charts.description import MEMORIZED, NON_MEMORIZED, Distributions, Group, Lines, Scatter, Series
from memunlearn.charts.legend import LABEL, legend_entries, legend_view, places_of
from memunlearn.charts.marks import Entry


def test_entries_are_the_labels_and_colours_of_all_panels():
    first = Lines(
        title="",
        x_label="",
        y_label="",
        series=(fake_charts.series("a"), fake_charts.series("b", NON_MEMORIZED), fake_charts.series("")),
    )
    second = Scatter(title="", x_label="", y_label="", series=(fake_charts.series("a"), fake_charts.series("a", NON_MEMORIZED)))
    entries = legend_entries(fake_charts.chart(first, second))
    assert [(entry.label, entry.colour) for entry in entries] == [("a", MEMORIZED), ("b", NON_MEMORIZED), ("a", NON_MEMORIZED)]
    assert places_of(first, entries) == [0, 1, None] and places_of(second, entries) == [0, 2]


def test_every_kind_names_what_it_draws():
    names = {
        kind: [entry.label for entry in legend_entries(fake_charts.chart(make()))] for kind, make in fake_charts.KINDS.items()
    }
    assert names == {
        "lines": ["memorized", "non-memorized"],
        "scatter": ["memorized", "non-memorized"],
        "heat": [],
        "distributions": [],
        "bars": ["one head", fake_charts.HOSTILE],
        "estimates": ["seeds", "mean and 95 % interval"],
        "violins": ["EM", "self-EM"],
    }
    pair = Distributions(
        title="",
        y_label="",
        groups=(
            Group(label="a", values=[1.0], colour=MEMORIZED, name="before"),
            Group(label="a", values=[1.0], colour=NON_MEMORIZED, name="after", marker="^"),
        ),
    )
    assert [(entry.label, entry.marker) for entry in legend_entries(fake_charts.chart(pair))] == [
        ("before", "o"),
        ("after", "^"),
    ]


def samples(*entries, width=800.0):
    """(type of mark, its style) of everything in the legend but the boxes for clicks."""
    return [(layer["mark"]["type"], layer["mark"]) for layer in legend_view(list(entries), width)["layer"][:-1]]


def test_a_sample_looks_like_its_series():
    line = samples(Entry(label="a", colour=MEMORIZED, kind="line", marker="s", dash="--"))
    assert [kind for kind, _ in line] == ["rule", "point", "text"]
    assert line[0][1]["strokeDash"] == [6, 3] and line[1][1]["shape"] == "square" and line[2][1]["text"] == ["a"]
    assert [kind for kind, _ in samples(Entry(label="a", colour=MEMORIZED, kind="line", marker="none"))] == ["rule", "text"]
    assert [kind for kind, _ in samples(Entry(label="a", colour=MEMORIZED, kind="point", marker="D"))] == ["point", "text"]
    assert [kind for kind, _ in samples(Entry(label="a", colour=MEMORIZED, kind="bar", nth=2))] == [
        "rect",
        "rule",
        "rule",
        "text",
    ]
    assert all(style.get("opacity", 1) == 1 for _, style in line)


@pytest.mark.parametrize("width", [300.0, 600.0, 900.0])
def test_entries_do_not_overlap_and_none_leaves_the_figure(width):
    names = ["short", "objective unlearn, mask gradient, " * 3, "b", "a name of some length", "c" * 20, "d"]
    view = legend_view([Entry(label=name, colour=MEMORIZED, kind="line") for name in names], width)
    boxes = view["layer"][-1]["data"]["values"]
    assert [box["entry"] for box in boxes] == list(range(6)) and all(box["right"] <= width for box in boxes)
    assert max(box["bottom"] for box in boxes) == view["height"]
    for place, box in enumerate(boxes):
        for other in boxes[:place]:
            beside = box["x"] >= other["right"] or other["x"] >= box["right"]
            assert beside or box["y"] >= other["bottom"] or other["y"] >= box["bottom"]
    texts = [
        style
        for kind, style in samples(*(Entry(label=name, colour=MEMORIZED, kind="line") for name in names), width=width)
        if kind == "text"
    ]
    assert [" ".join(text["text"]) for text in texts] == [name.strip() for name in names]
    assert [text["x"] - LABEL for text in texts] == [box["x"] for box in boxes]


def test_a_click_chooses_among_the_entries_that_the_panels_know():
    view = legend_view(
        [Entry(label="a", colour=MEMORIZED, kind="line"), Entry(label="b", colour=NON_MEMORIZED, kind="line")], 300
    )
    (choice,) = [layer for layer in view["layer"] if "params" in layer]
    assert choice["params"] == [{"name": "chosen", "select": {"type": "point", "fields": ["entry"], "toggle": "true"}}]


def test_a_series_without_a_label_is_not_named_but_drawn():
    series = dataclasses.replace(fake_charts.series(), label="")
    chart = fake_charts.chart(
        Lines(title="", x_label="", y_label="", series=(series, Series(label="b", x=[1], y=[2], colour=NON_MEMORIZED)))
    )
    assert [entry.label for entry in legend_entries(chart)] == ["b"] and places_of(chart.panels[0], legend_entries(chart)) == [
        None,
        0,
    ]
