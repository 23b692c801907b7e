import re
from html.parser import HTMLParser

import fake_results
import pytest

from memunlearn.reporting.page import component_grid, report, write_report

VOID = {"meta", "link", "img", "br"}


class Page(HTMLParser):
    """The elements of a page, its visible text, and a check that every element is closed where it should be."""

    def __init__(self, html):
        super().__init__()
        self.elements, self.text, self.open = [], [], []
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
        if self.open and self.open[-1] != "style":
            self.text.append(data)

    def count(self, tag):
        return sum(name == tag for name, _ in self.elements)

    @property
    def words(self):
        return " ".join("".join(self.text).split())


@pytest.fixture(scope="module")
def page():
    notes = ["A test of the software & no <b>evidence</b>."]
    return Page(report(fake_results.result(), fake_results.curve(), fake_results.paragraphs(5), notes))


def test_texts_cannot_break_out(page):
    assert page.count("script") == 0 and page.count("b") == 0
    assert page.words.count("</table><script>alert('before')</script> [bold]text[/bold]\ufffd[31m") == 5
    assert "something else &amp; <b>bold</b>" in page.words
    assert "A test of the software & no <b>evidence</b>." in page.words
    assert "some/<model> & co" in page.words


def test_nothing_is_fetched(page):
    addresses = [attrs[key] for _, attrs in page.elements for key in ("src", "href") if key in attrs]
    assert len(addresses) == 3 and all(address.startswith("data:") for address in addresses)
    assert not re.search(r"@import|url\(", report(fake_results.result(), [], []))


def test_figures_have_alt_text(page):
    alts = [attrs.get("alt", "") for tag, attrs in page.elements if tag == "img"]
    assert len(alts) == 2 and all(len(alt) > 40 for alt in alts)


def test_numbers_have_units_intervals_rows_and_clusters(page):
    assert "Training stopped after 37 steps" in page.words
    assert "forget: 64 rows in 61 clusters" in page.words and "near: empty" in page.words
    assert "95 % bootstrap interval" in page.words and "2.8 to 3.6" in page.words
    for unit in ("tokens", "nats per token", "% of rows"):
        assert unit in page.words
    assert "786 of 786,432 eligible weights (0.0999 %)" in page.words
    assert "seed 0" in page.words and '"lr": 0.0001' in page.words and "3.11.7" in page.words and "61.2 s" in page.words


def test_at_most_200_texts_and_it_says_so():
    page = Page(report(fake_results.result(), [], fake_results.paragraphs(201)))
    assert "The first 200 of 201 forget rows." in page.words
    assert page.words.count("the last words") == 200


def test_edits_show_what_was_asked_for():
    rows = [{**row, "alternative": "asked <text>"} for row in fake_results.paragraphs(2)]
    page = Page(report(fake_results.result(edit=True), [], rows))
    assert "asked <text>" in page.words and "EM with the alternative" in page.words


def test_trials_are_said_to_be_pooled():
    page = Page(report(fake_results.result(config={"protocol": "per_paragraph"}), [], []))
    assert "each set pools all trials" in page.words


def test_a_run_with_next_to_nothing():
    empty = {"forget": None, "bystander": None, "near": None, "retain": None}
    result = {"config": {}, "seed": 0, "steps": 0, "stopped_because": "max_steps", "before": empty, "after": empty}
    for more in ({}, {"mask": None, "environment": None, "seconds": {}}, {"mask": {"k": 5}}):
        page = Page(report({**result, **more}, [], []))
        assert "there was nothing to unlearn" in page.words and page.count("img") == 0


def test_the_file_is_the_page(tmp_path):
    arguments = (fake_results.result(), [], fake_results.paragraphs(1))
    write_report(tmp_path / "report.html", *arguments)
    assert (tmp_path / "report.html").read_text("utf-8") == report(*arguments)


@pytest.mark.parametrize(
    "counts",
    [
        {"0.q": 12, "10.mlp_in": 3, "2.q": 1400},
        {"0": {"q": 12}, "10": {"mlp_in": 3}, "2": {"q": 1400}},
    ],
)
def test_component_grid_orders_layers_by_number(counts):
    kinds, layers = component_grid(counts)
    assert kinds == ["q", "mlp_in"]
    assert layers == [("0", ["12", "0"]), ("2", ["1,400", "0"]), ("10", ["0", "3"])]


def test_component_grid_without_layers():
    assert component_grid({"q": 2}) == (["q"], [("-", ["2"])])
    assert component_grid({}) == ([], [])
