import io

import fake_results
import pytest
from rich.console import Console

from memunlearn.reporting.terminal import print_comparison, print_evaluation, print_examples, visible


@pytest.fixture
def console():
    return Console(file=io.StringIO(), width=80, no_color=True, force_terminal=False)


def printed(console):
    return console.file.getvalue()


def test_comparison_says_before_after_and_change_in_80_columns(console):
    result = fake_results.result()
    print_comparison(result["before"], result["after"], console)
    lines = printed(console).splitlines()
    assert max(map(len, lines)) <= 80 and "…" not in printed(console)
    forget = next(i for i, line in enumerate(lines) if line.strip().startswith("forget"))
    assert lines[forget].split() == ["forget", "before", "50.0", "50.0", "50.0", "0.080", "0.0000", "50.0", "100.0"]
    assert lines[forget + 1].split() == ["64", "rows", "after", "3.1", "8.4", "5.6", "3.210", "1.5000", "3.1", "5.2"]
    changes = ["-46.9", "-41.6", "-44.4", "+3.130", "+1.5000", "-46.9", "-94.8"]
    assert lines[forget + 2].split() == ["61", "clusters", "change", *changes]
    heads = [lines[line].split() for line in range(4)]
    assert heads == [
        ["longest"],
        ["longest", "common"],
        ["EM", "run", "run", "NLL", "KL", "self-EM", "memorized"],
        ["set", "tokens", "tokens", "tokens", "nats", "nats", "tokens", "%"],
    ]
    assert "retain_train" in printed(console) and "1,179 clusters" in printed(console)
    assert ["near", "empty"] in [line.split() for line in lines]
    assert "alternative" not in printed(console)


def test_near_rows_are_shown_in_their_two_parts_in_80_columns(console):
    result = fake_results.result()
    empty = {"near_forgotten": None, "near_other": None}
    print_comparison(result["before"] | empty, result["after"] | empty, console)
    assert "near_" not in printed(console)
    parts = {"near": fake_results.set_stats(5, 4, 50.0, 0.09, 0.0), "near_forgotten": None}
    parts["near_other"] = fake_results.set_stats(12422, 12001, 0.0, 25.123, 18.5)
    print_comparison(result["before"] | parts, result["after"] | parts, console)
    lines = printed(console).splitlines()
    assert max(map(len, lines)) <= 80 and "…" not in printed(console)
    assert ["near_forgotten", "empty"] in [line.split() for line in lines]
    assert any(line.startswith("near_other") for line in lines)


def test_a_mean_over_the_decoded_rows_is_not_given_as_the_sets(console):
    result = fake_results.result()
    print_comparison(result["before"], result["after"], console)
    lines = printed(console).splitlines()
    retain = next(i for i, line in enumerate(lines) if line.split()[:2] == ["retain", "before"])
    assert [line.split()[-5] for line in lines[retain : retain + 3]] == ["-", "-", "-"]
    assert "retain, longest common run over 200 of 1,280 rows: 2.8 -> 2.8 tokens (+0.0)" in lines
    assert "bystander, longest" not in printed(console)


def test_edits_show_the_alternative(console):
    result = fake_results.result(edit=True)
    print_comparison(result["before"], result["after"], console)
    assert "forget, EM with the alternative: 1.2 -> 44.2 tokens (+43.0)" in printed(console)
    assert "forget, NLL of the alternative: 6.210 -> 0.412 nats per token (-5.798)" in printed(console)


def test_wide_numbers_still_fit(console):
    before = {"bystander_val": fake_results.set_stats(12422, 12001, 50.0, 0.07, 0.0)}
    after = {"bystander_val": fake_results.set_stats(12422, 12001, 0.0, 25.123, 18.5)}
    print_comparison(before, after, console)
    assert "…" not in printed(console) and "12,001 clusters" in printed(console) and "+18.5000" in printed(console)
    assert max(map(len, printed(console).splitlines())) <= 80


def test_unknown_numbers_and_unknown_sides_are_dashes(console):
    after = {"forget": fake_results.set_stats(2, 1, 50.0, float("nan"), None)}
    print_comparison({"forget": None}, after, console)
    lines = [line.split() for line in printed(console).splitlines()]
    assert ["forget", "before"] + ["-"] * 7 in lines
    assert ["2", "rows", "after", "50.0", "50.0", "50.0", "-", "-", "50.0", "100.0"] in lines
    assert ["1", "cluster", "change"] + ["-"] * 7 in lines


def test_evaluation_counts_the_bins(console):
    print_evaluation(fake_results.result()["after"], {"0-10": 12, "11-29": 3, "30-49": 0, "50": 1}, console)
    lines = [line.split() for line in printed(console).splitlines()]
    assert ["forget", "64", "3.1", "8.4", "3.210", "1.5000", "3.1", "5.2"] in lines
    assert ["0-10", "12", "75.0"] in lines and ["30-49", "0", "0.0"] in lines


def test_evaluation_of_nothing(console):
    print_evaluation({"retain": None}, {}, console)
    assert "empty" in printed(console) and "EM bin" not in printed(console)


def test_examples_show_text_as_it_is(console):
    rows = [{"set": "retain", "index": 0}, *fake_results.paragraphs()]
    print_examples(rows, console, limit=2)
    text = printed(console)
    assert "forget 0, EM 50 before" in text and "forget 1, EM 50 before" in text and "forget 2" not in text
    assert "[bold]text[/bold]\\x1b[31m" in text and "\x1b" not in text
    assert "if a < b and c > d:\\n" in text and "&amp; " in text


def test_long_prefixes_keep_their_end(console):
    row = {
        "index": 3,
        "prefix_end": "[start] " + "x" * 400 + " the very end",
        "continuation_after": "[/] odd",
        "alternative": "this",
    }
    print_examples([row], console)
    text = printed(console)
    assert "the very end" in text and "start" not in text and "asked for  this" in text and "[/] odd" in text


def test_visible_keeps_to_what_the_terminal_can_write():
    assert visible("a\tb\r\n\x07 é 日") == "a\\tb\\r\\n\\x07 é 日"
    assert visible("é 日", "latin-1") == "é \\u65e5"
