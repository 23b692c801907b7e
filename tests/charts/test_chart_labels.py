"""Labels that fit."""

import json

import pytest

from memunlearn.charts.description import MEMORIZED, NON_MEMORIZED, Bars, Distributions, Group, Heat
from memunlearn.charts.labels import (
    categories,
    literal,
    longest_line,
    quoted,
    row_label,
    step_for,
    ticks_across,
    ticks_down,
    wrapped,
)


def test_labels_that_fit():
    counts = [str(i) for i in range(50)]
    assert ticks_across(counts, 1100, 7).labels == counts
    thin = ticks_across(counts, 250, 7)
    assert thin.places == list(range(0, 50, 5)) and thin.labels == counts[::5] and not thin.turned
    assert ticks_across(["mlp_in", "mlp_out"], 70, 7).labels == ["mlp_\nin", "mlp_\nout"]
    turned = ticks_across(["gradient", "contrastive\nn = 3"], 60, 7)
    assert turned.turned and turned.labels == ["gradient", "contrastive, n = 3"]
    assert ticks_across(["a" * 100] * 2, 60, 7).labels == ["a" * 29 + "…"] * 2
    many = ticks_across(["name" * 3] * 100, 300, 7)
    assert many.turned and 10 <= len(many.places) <= 20


@pytest.mark.parametrize(
    ("n", "room", "expected"), [(10, 100, 1), (10, 99, 2), (50, 100, 5), (1000, 100, 100), (3, 1, 5), (0, 1, 1)]
)
def test_steps(n, room, expected):
    assert step_for(n, room, 10) == expected


def test_labels_down():
    labels = [f"layer {i}" for i in range(48)]
    assert ticks_down(labels, 48 * 14).labels == labels
    thin = ticks_down(labels, 200)
    assert thin.places == list(range(0, 48, 5)) and thin.labels == labels[::5] and not thin.turned
    assert ticks_down([], 100).labels == []


def test_a_row_label_has_a_line_a_part():
    assert row_label("unlearn - edit, own text (gradient) (seed 3)") == "unlearn -\nedit,\nown text (gradient)\n(seed 3)"
    assert max(map(len, row_label("a setting with a name that has no commas at all").splitlines())) <= 24


@pytest.mark.parametrize("text", ["\x00", "\x1b[31m", "\x7f", "\x85", "\ud800", "a\tb"])
def test_what_no_font_shows_is_replaced(text):
    assert "\ufffd" in literal(text) and literal(literal(text)) == literal(text)


def test_everything_else_stays():
    text = "<b>&amp;</b> $x$ %{y} \\n 中文 naïve\nsecond line"
    assert literal(text) == text


def test_a_quoted_text_is_the_same_text_in_ascii():
    for text in ('"]; alert(1)', "\u2028\u2029", "\\", "中文", ["a", 'b"'], [["a", "b"], []]):
        assert json.loads(quoted(text)) == text and quoted(text).isascii()


def test_wrapped_lines_fit_and_nothing_is_lost():
    text = "mean absolute gradient of the NLL per token and weight"
    lines = wrapped(text, 150)
    assert " ".join(lines) == text and all(len(line) * 7.2 <= 150 for line in lines)
    assert wrapped("", 100) == [] and longest_line(["a\nlonger", "b"]) == 6 and longest_line([]) == 0


def test_categories_of_every_kind():
    groups = [
        Group(label="a", values=[1.0, None], colour=MEMORIZED, name="before"),
        Group(label="a", values=[2.0, 3.0], colour=NON_MEMORIZED, name="after"),
        Group(label="b", values=[], colour=MEMORIZED),
    ]
    said = [label.replace("\u00a0", " ") for label in categories(Distributions(title="", y_label="", groups=tuple(groups)))]
    assert said == ["a\nn = 1 and 2", "b\nn = 0"]
    many = Distributions(title="", y_label="", groups=(Group(label="retain", values=[1.0] * 1300, colour=MEMORIZED),))
    assert categories(many)[0].replace("\u00a0", " ") == "retain\nn = 1,300\n1,000 drawn"
    assert categories(Bars("", "", ["x", "y"], ())) == ["x", "y"] and categories(
        Heat(title="", row_label="", column_label="", rows=[], columns=["q"], values=[], unit="")
    ) == ["q"]
