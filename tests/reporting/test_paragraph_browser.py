import json

import fake_results
import pytest

from memunlearn.reporting.page import report
from memunlearn.reporting.paragraph_browser import browser_rows, embedded_json, table_rows

NASTY = ["</script>", "<!-- <script>", "]]>", "&lt;", "\u2028\u2029", "\x00\x1b", "\\", '"', "é\U0001f600"]


def test_embedded_json_cannot_leave_its_element_and_comes_back():
    text = embedded_json(NASTY)
    assert not set(text) & set("<>&\u2028\u2029") and json.loads(text) == NASTY


def test_numbers_that_json_lacks_are_refused():
    with pytest.raises(ValueError):
        embedded_json([float("nan")])


def test_all_forget_rows_and_200_of_each_other_set_in_their_order():
    rows = fake_results.paragraphs(450)
    shown = browser_rows(rows)
    assert shown.counts == {"forget": (450, 450), "bystander": (200, 225)}
    assert [row["index"] for row in shown.rows] == [*range(450), *range(200)]
    assert shown.caption == "all 450 forget rows; 200 of 225 bystander rows"


def test_rows_are_what_the_table_says():
    row = {**fake_results.paragraphs(1)[0], "kl": float("nan"), "nll_after": 1.23456, "alternative": "asked"}
    (shown,) = browser_rows([row]).rows
    assert shown["tokens"] == row["token_texts"] and shown["original"] is None and shown["before"] is None
    assert shown["scores"]["longest_common_run"] == [50, row["longest_common_run_after"]]
    assert shown["token_nll"][1][:3] == [7.5, 0.25, 0.5] and shown["scores"]["nll"] == [0.06, 1.235]
    assert shown["scores"]["kl"] == [None]
    assert shown["prefix"] == row["prefix"] and shown["after"] == row["continuation_after"] and shown["alternative"] == "asked"


def test_what_the_base_model_said_otherwise_is_kept():
    row = {**fake_results.paragraphs(1)[0], "continuation_before": "not the original"}
    assert browser_rows([row]).rows[0]["before"] == "not the original"


def test_rows_of_runs_that_kept_no_tokens():
    row = {
        "set": "forget",
        "index": 0,
        "em_before": 50,
        "prefix_end": "end",
        "continuation_before": "a",
        "continuation_after": "b",
    }
    (shown,) = browser_rows([row]).rows
    assert (shown["tokens"], shown["token_nll"], shown["original"], shown["prefix"]) == (None, None, "a", "end")
    assert shown["scores"]["em"] == [50, None] and shown["trial"] is None
    assert shown["scores"]["longest_common_run"] == [None, None]


def test_ids_are_kept_apart():
    row = {**fake_results.paragraphs(1)[0], "continuation": "50256 7", "token_texts": ["50256", "7"]}
    assert browser_rows([row]).rows[0]["tokens"] == ["50256 ", "7 "]


def test_the_heaviest_page_stays_under_8_mb():
    rows = []
    for name in ("forget", "bystander", "near", "retain", "retain_train"):
        for index, row in enumerate(fake_results.paragraphs(3000)[:3000]):
            texts = {
                key: "\U0001f600<" * 400 for key in ("prefix", "continuation", "continuation_before", "continuation_after")
            }
            rows.append({**row, "set": name, "index": index, **texts, "token_texts": ["\U0001f600<"] * 400})
    page = report(fake_results.result(), fake_results.curve(400), rows)
    assert len(page.encode()) < 7_500_000  # and half a MB of pictures
    shown, total = browser_rows(rows).counts["forget"]
    assert 100 < shown < total == 3000 and f"{shown:,} of 3,000 forget rows" in page
    assert 20 < table_rows(rows).counts["forget"][0] < 3000
