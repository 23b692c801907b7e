import base64
import hashlib
import json
from html.parser import HTMLParser

import fake_results
import pytest

from memunlearn.charts.files import Picture
from memunlearn.reporting.page import report, write_report

PICTURES = [Picture("em", b"\x89PNG em", b"%PDF"), Picture("training", b"\x89PNG training", b"%PDF")]
VOID = {"meta", "link", "img", "br", "input"}


class Page(HTMLParser):
    """The elements of a page, its visible text, and a check that every element is closed where it should be."""

    def __init__(self, html):
        super().__init__()
        self.elements, self.text, self.open, self.scripts = [], [], [], []
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.text.append(" ")
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] == "script":
            self.scripts.append(data)
        elif self.open and self.open[-1] != "style":
            self.text.append(data)

    def count(self, tag):
        return sum(name == tag for name, _ in self.elements)

    @property
    def words(self):
        return " ".join("".join(self.text).split())


@pytest.fixture(scope="module")
def page():
    notes = ["A test of the software & no <b>evidence</b>."]
    return Page(report(fake_results.result(), fake_results.curve(), fake_results.paragraphs(5), notes, PICTURES))


def test_texts_cannot_break_out(page):
    assert page.count("script") == 4 and page.count("b") == 0  # the drawing library, the page's own, and two blocks of data
    assert page.words.count("</table><script>alert('before')</script><!-- [bold]text[/bold]\ufffd[31m") == 5
    assert "something else &amp; <b>bold</b>" in page.words
    assert "A test of the software & no <b>evidence</b>." in page.words
    assert "some/<model> & co" in page.words


def test_data_for_the_script_is_all_there(page):
    plots, browser = (json.loads(data) for data in page.scripts[:2])
    paragraphs, labels = browser["rows"], [label for label, _, _ in browser["metrics"]]
    assert labels == ["EM", "longest run", "longest common run", "NLL", "KL"]
    assert all(row["scores"].keys() == {key for _, key, _ in browser["metrics"]} for row in paragraphs)
    assert plots.keys() == {"training", "em", "nll", "em_nll", "mask"}
    assert [row["set"] for row in paragraphs] == ["forget"] * 5 + ["bystander"] * 2
    assert paragraphs[0]["tokens"] == fake_results.paragraphs(5)[0]["token_texts"]


def test_only_the_scripts_of_the_page_may_run(page):
    policy = next(attrs["content"] for tag, attrs in page.elements if tag == "meta" and "http-equiv" in attrs)
    hashes = [base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in page.scripts[2:]]
    assert policy.endswith("script-src " + " ".join(f"'sha256-{one}'" for one in hashes))
    assert policy.startswith("default-src 'none'; img-src data:;")
    assert not any(key.startswith("on") for _, attrs in page.elements for key in attrs)


def test_nothing_is_fetched(page):
    addresses = [attrs[key] for _, attrs in page.elements for key in ("src", "href") if key in attrs]
    assert len(addresses) == 3 and all(address.startswith("data:") for address in addresses)


def test_figures_have_captions_and_pictures_alt_text(page):
    alts = [attrs.get("alt", "") for tag, attrs in page.elements if tag == "img"]
    assert len(alts) == 2 and all(len(alt) > 40 for alt in alts)
    assert page.count("figure") == page.count("figcaption") == 5


def test_numbers_have_units_intervals_rows_and_clusters(page):
    assert "Training stopped after 37 steps" in page.words
    assert "forget: 64 rows in 61 clusters" in page.words and "near: empty" in page.words
    assert "95 % interval over clusters" in page.words and "2.8 to 3.6" in page.words
    for unit in ("tokens", "nats per token", "% of rows"):
        assert unit in page.words
    assert "786 of 786,432 eligible weights (0.0999 %)" in page.words
    assert "400 2.44 %" in page.words and "371 2.26 %" in page.words
    assert "seed 0" in page.words and '"lr": 0.0001' in page.words and "3.11.7" in page.words and "61.2 s" in page.words
    assert "git commit abc, dirty false" in page.words


def test_a_mean_over_a_part_of_a_set_says_over_how_many_rows(page):
    *_, retain = page.words.partition("retain: 1,280 rows in 1,179 clusters")
    assert "longest common run tokens, over 200 of 1,280 rows 2.8" in retain.partition("retain_train:")[0]
    assert page.words.count("longest common run tokens, over") == 1
    assert "longest common run tokens 50.0 45.0 to 50.0 5.6" in page.words  # of the forget set


def test_forget_rows_without_an_alternative_are_listed():
    listed = Page(report(fake_results.result(edit=True, rows_without_alternative=[3, 17]), [], []))
    assert "forget rows without an alternative 3, 17" in listed.words
    assert "without an alternative" not in Page(report(fake_results.result(edit=True), [], [])).words


def test_without_scripts_every_forget_text_is_there_and_it_says_so(page):
    assert "all 5 forget rows" in page.words and page.words.count("something else &amp; <b>bold</b>") == 5
    for row in fake_results.paragraphs(5)[:5]:
        assert " ".join(row["prefix"].split()) in page.words
        runs = f"longest common run 50 to {row['longest_common_run_after']}"
        assert f"EM 50 to {row['em_after']} {runs} NLL 0.06 to {row['nll_after']:.2f}" in page.words


def test_the_original_stands_apart_where_the_base_model_said_something_else():
    rows = fake_results.paragraphs(2)
    recited = Page(report(fake_results.result(), [], rows))
    assert "row prefix before after" in recited.words
    rows[1]["continuation_before"] = "not recited"
    page = Page(report(fake_results.result(), [], rows))
    assert "row prefix original before after" in page.words and "not recited" in page.words


def test_edits_show_what_was_asked_for():
    rows = [{**row, "alternative": "asked <text>"} for row in fake_results.paragraphs(2)]
    page = Page(report(fake_results.result(edit=True), [], rows))
    assert "asked <text>" in page.words and "EM with the alternative" in page.words


def test_an_edit_says_what_was_done():
    done = "786 chosen weights were set to <0>, and nothing was trained"
    page = Page(report(fake_results.result(done=done, steps=0, stopped_because="max_steps"), [], []))
    assert done in page.words and "786 of 786,432 eligible weights (0.0999 %) were changed." in page.words
    assert "were free to change" in Page(report(fake_results.result(), [], [])).words


def test_trials_are_said_to_be_pooled():
    page = Page(report(fake_results.result(config={"protocol": "per_paragraph"}), [], []))
    assert "each set pools all trials" in page.words


def test_the_command_and_the_commit_to_repeat_the_run():
    where = {"commit": "abc-dirty", "command": "python train.py 'mask={_target_: a.B}' seed=3"}
    page = Page(report(fake_results.result(environment=where), [], []))
    assert "To repeat it, at commit abc-dirty: python train.py 'mask={_target_: a.B}' seed=3" in page.words
    assert "To repeat it" not in Page(report(fake_results.result(), [], [])).words


def test_a_run_with_next_to_nothing():
    empty = {"forget": None, "bystander": None, "near": None, "retain": None}
    result = {"config": {}, "seed": 0, "steps": 0, "stopped_because": "max_steps", "before": empty, "after": empty}
    for more in ({}, {"mask": None, "environment": None, "seconds": {}}, {"mask": {"k": 5}}):
        page = Page(report({**result, **more}, [], []))
        assert "there was nothing to unlearn" in page.words and page.count("img") == page.count("figure") == 0


def test_the_file_is_the_page(tmp_path):
    shown = {"paragraphs": fake_results.paragraphs(1), "notes": ["note"], "pictures": PICTURES}
    write_report(tmp_path / "report.html", fake_results.result(), [], **shown)
    assert (tmp_path / "report.html").read_text("utf-8") == report(fake_results.result(), [], **shown)


def with_more(of_set, **numbers):
    result = fake_results.result()
    for when in ("before", "after"):
        result[when][of_set] |= {key: values[when == "after"] for key, values in numbers.items()}
    return result


def test_details_stand_under_more_measures_and_not_in_the_first_table(page):
    assert "More measures" not in page.words  # this run, of an earlier version, has none
    result = with_more("forget", min_k=(-0.1, -2.5), min_k_ci=([-0.2, -0.05], [-3.0, -2.0]), levenshtein=(1.0, 0.064))
    html = report(result, fake_results.curve(), fake_results.paragraphs(5))
    first, _, more = html.partition('<details id="more-measures">')
    more, first = Page("<i>" + more.partition("</details>")[0] + "</i>").words, Page(first.partition("<body>")[2]).words
    assert "min-k nats per token -0.100 -0.200 to -0.050 -2.500 -3.000 to -2.000 -2.400" in more
    assert "similarity of what is said % of tokens 100.0 6.4 -93.6" in more
    assert "min-k" not in first and "EM tokens" in first and "EM tokens" not in more


def test_extraction_is_one_table_of_p_and_n():
    shares = {f"extraction_p{p}_n{n}": (0.75, 0.25) for p in (10, 50, 90) for n in (1, 10, 1_000, 1_000_000)}
    shares |= {"extraction_p50_n1000": (1.0, 0.125), "extraction_p50_n1000_ci": ([0.891, 1.0], [0.0, 0.4])}
    page = Page(report(with_more("forget", **shares), fake_results.curve(), fake_results.paragraphs(5)))
    assert "so many samples, or fewer, say with probability p p 1 10 1,000 1,000,000" in page.words
    assert "0.5 before 75.0 75.0 100.0 89.1 to 100.0 75.0 0.5 after 25.0 25.0 12.5 0.0 to 40.0 25.0" in page.words
    assert page.words.count("say with probability p") == 1 and "said by" not in page.words
