import base64
import hashlib
import json

import fake_charts
import pytest
from test_page import Page

from memunlearn.charts.files import Picture
from memunlearn.reporting.localization_page import flat, localization_page

ENVIRONMENT = {"command": "python localize.py analysis=all 'a b'", "commit": "abc", "python": "3.11.7", "git": {"dirty": False}}


def html(**more):
    findings = fake_charts.findings()
    pictures = [Picture(one.charts[0].name, b"\x89PNG " + one.name.encode(), b"%PDF") for one in findings[1:]]
    config = {"analysis": {"em_nll": {"bins": None}}, "model": fake_charts.HOSTILE}
    notes = ["A test of the software; no evidence.", fake_charts.HOSTILE]
    return localization_page(findings, pictures, config, environment=ENVIRONMENT, notes=notes, seconds={"em_nll": 1.26}, **more)


@pytest.fixture(scope="module")
def page():
    return Page(html())


def test_everything_that_was_found_is_there(page):
    for words in (
        "A test of the software; no evidence.",
        "What only-lines shows",
        "Memorized text differs",
        "It is not sure.",
        "Intervals and tests are over clusters, resampled whole.",
        "3 rows left out",
        "A caption",
        "To repeat it, at commit abc: python localize.py analysis=all 'a b'",
        "3.11.7",
        "git dirty false",
        "time, em_nll 1.3 s",
        '"em_nll"',
    ):
        assert words in page.words, words
    assert page.count("figure") == len(fake_charts.charts())


def test_texts_cannot_break_out(page):
    assert page.count("script") == 3 and page.count("b") == 0
    assert page.words.count("<script>alert(1)</script> & &amp; <b>bold</b> $\\frac$ %{x} _") > 4 * len(fake_charts.charts())
    assert not any(key.startswith("on") for _, attrs in page.elements for key in attrs)


def test_the_script_gets_every_chart_and_only_the_page_s_scripts_run(page):
    assert list(json.loads(page.scripts[0])) == [one.name for one in fake_charts.charts()]
    policy = next(attrs["content"] for tag, attrs in page.elements if tag == "meta" and "http-equiv" in attrs)
    hashes = [base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in page.scripts[1:]]
    assert policy.endswith("script-src " + " ".join(f"'sha256-{one}'" for one in hashes))


def test_pictures_stand_in_and_nothing_is_fetched(page):
    images = [attrs for tag, attrs in page.elements if tag == "img"]
    assert len(images) == len(fake_charts.charts()) - 1
    assert base64.b64decode(images[0]["src"].partition(",")[2]) == b"\x89PNG analysis_1"
    assert images[0]["alt"] == fake_charts.charts()[1].alt
    links = [attrs["href"] for tag, attrs in page.elements if tag == "a"]
    ids = {attrs.get("id") for _, attrs in page.elements}
    assert len(links) == len(fake_charts.charts()) + 1 and all(link.startswith("#") and link[1:] in ids for link in links)


def test_key_numbers_are_flat_and_short(page):
    assert "auroc 0.9877" in page.words and "memorized.n 1,442" in page.words and "memorized.drop 12,350" in page.words
    assert "memorized.interval 1e-05; 2" in page.words


def test_numbers():
    numbers = {"a": {"b": [{"c": True}, {"c": None}], "d": []}, "e": list(range(14)), "f": -0.000123456, "g": "text", 3: 0.0}
    assert dict(flat(numbers)) == {
        "a.b.0.c": "yes",
        "a.b.1.c": "-",
        "a.d": "none",
        "e": "; ".join(map(str, range(12))) + "; and 2 more",
        "f": "-0.0001235",
        "g": "text",
        "3": "0",
    }
    assert list(flat({})) == []


def test_many_numbers_are_cut_and_it_says_so():
    import dataclasses

    one = dataclasses.replace(fake_charts.findings()[0], numbers={f"n{place}": place for place in range(1500)})
    words = Page(localization_page([one], [], {}, environment={})).words
    assert "n299" in words and "n300" not in words and "1,200 more are in localization.json" in words


def test_a_paper_s_claim_stands_beside_what_was_found():
    words = Page(html(claims={"analysis_0": "it <is> so", "other": "not shown"})).words
    assert words.count("The paper says: it <is> so") == 1 and "not shown" not in words


def test_nothing_was_analysed():
    page = Page(localization_page([], [], {}, environment={}))
    assert "Nothing was analysed." in page.words and "To repeat it" not in page.words and page.count("figure") == 0
