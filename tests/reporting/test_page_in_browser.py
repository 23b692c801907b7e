"""The run's page as a reader has it: in Chromium, from disk, without a network."""

import json

import fake_results
import pytest
from browser import DESKTOP, PHONE

from memunlearn.charts.files import picture
from memunlearn.reporting.page import write_report
from memunlearn.results.figures import run_charts

ATTACK = "<script>alert(1)</script> </table> & &amp; <img src=x onerror=alert(2)> </script><!--"


@pytest.fixture(scope="module")
def rows():
    rows = fake_results.paragraphs(30)
    rows[3] |= {
        "prefix": f"prefix {ATTACK}",
        "continuation": f"original {ATTACK}",
        "continuation_before": f"before {ATTACK}",
        "continuation_after": f"after {ATTACK}",
        "alternative": f"asked {ATTACK}",
        "token_texts": ["original ", ATTACK],
        "token_nll_before": [0.0, 3.0],
        "token_nll_after": [60.0, None],
    }
    rows[5]["kl"] = None
    return rows


@pytest.fixture(scope="module")
def report(rows, tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "report.html"
    result = fake_results.result()
    reason = "the same in every cluster, which says nothing of how much others would differ"
    result["before"]["forget"]["interval_note"] = f"no interval for em, longest_run, kl, self_em: {reason}; and so on: {reason}"
    curve = fake_results.curve()
    pictures = [picture(chart) for chart in run_charts(result, curve, rows)]
    write_report(path, result, curve, paragraphs=rows, notes=["A note."], pictures=pictures)
    assert path.stat().st_size < 2_000_000
    return path


def cards(page):
    """(set, index) of the paragraphs that are shown, in their order."""
    found = page.locator("article.paragraph").evaluate_all("all => all.map(one => [one.dataset.set, one.dataset.index])")
    return [(name, int(index)) for name, index in found]


@pytest.mark.parametrize("size", [DESKTOP, PHONE])
def test_the_page_works_without_a_complaint_or_a_network(report, open_page, size, tmp_path):
    opened = open_page(report, size)
    page = opened.page
    page.wait_for_selector("#figure-mask.drawn svg")
    assert page.locator("figure .plot svg").count() == 5
    assert not page.locator("figure img:visible").count() and not page.locator("table.texts").is_visible()
    assert len(cards(page)) == 20 and not opened.scrolls_sideways
    assert opened.screenshot(tmp_path / "page.png").stat().st_size > 50_000
    assert opened.complaints == [] and opened.fetched == []


def test_the_browser_filters(report, open_page):
    page = open_page(report).page
    assert {name for name, _ in cards(page)} == {"forget"}
    assert page.locator("[name=set] option").all_inner_texts() == ["all sets", "forget (30)", "bystander (15)"]
    page.select_option("[name=set]", "bystander")
    assert cards(page) == [("bystander", index) for index in range(15)] and not page.locator("#more").is_visible()
    page.select_option("[name=set]", "")
    assert page.inner_text("#found") == "45 paragraphs found, the first 20 shown"
    page.click("#more")
    page.click("#more")
    assert len(cards(page)) == len(set(cards(page))) == 45 and page.inner_text("#found") == "45 paragraphs found"


def test_the_browser_searches_every_text(report, open_page):
    page = open_page(report).page
    for words in ("PREFIX <SCRIPT>", "original <s", "before <script>", "after <script>", "asked <script>", "onerror=alert(2)"):
        page.fill("[name=search]", words)
        assert cards(page) == [("forget", 3)], words
    page.fill("[name=search]", "prefix 1 begins")
    assert cards(page) == [("forget", 1)]
    page.fill("[name=search]", "[0-9")  # no pattern
    assert cards(page) == [] and page.inner_text("#found") == "0 paragraphs found"
    page.fill("[name=search]", "")
    page.press("[name=search]", "Enter")
    assert len(cards(page)) == 20 and page.url.endswith("report.html")


@pytest.mark.parametrize("key", ["em_before", "em_after", "nll_before", "nll_after", "kl", "index"])
def test_the_browser_sorts(report, rows, open_page, key):
    page = open_page(report).page
    page.select_option("[name=set]", "")
    page.select_option("[name=sort]", key)
    with_text = [row for row in rows if row["set"] != "retain"]
    for descending in (False, True):
        page.set_checked("[name=descending]", descending)
        for _ in range(2):
            page.click("#more")
        known = [row for row in with_text if row[key] is not None]
        digits = 4 if key == "kl" else 3
        ordered = sorted(known, key=lambda row: (-1 if descending else 1) * round(row[key], digits))
        expected = [*ordered, *(row for row in with_text if row[key] is None)]
        assert cards(page) == [(row["set"], row["index"]) for row in expected]


def test_html_in_a_paragraph_shows_literally(report, open_page):
    opened = open_page(report)
    opened.page.fill("[name=search]", "alert(1)")
    card = opened.page.locator("article.paragraph")
    shown = {
        label: text
        for label, text in zip(card.locator("dt").all_inner_texts(), card.locator("dd").all_inner_texts(), strict=True)
    }
    assert shown == {
        "prefix": f"prefix {ATTACK}",
        "original, NLL before": f"original {ATTACK}",
        "original, NLL after": f"original {ATTACK}",
        "model says before": f"before {ATTACK}",
        "model says now": f"after {ATTACK}",
        "asked for instead": f"asked {ATTACK}",
    }
    assert not card.locator("img, script, table").count()
    assert opened.complaints == [] and opened.fetched == []


def test_numbers_stand_beside_each_paragraph(report, rows, open_page):
    page = open_page(report).page
    card = page.locator("article.paragraph[data-set=forget][data-index='7']")
    row = next(row for row in rows if (row["set"], row["index"]) == ("forget", 7))
    pairs = [
        ("EM", "em", 0),
        ("longest run", "longest_run", 0),
        ("longest common run", "longest_common_run", 0),
        ("NLL", "nll", 2),
    ]
    said = [f"{label} {row[f'{key}_before']:.{digits}f} → {row[f'{key}_after']:.{digits}f}" for label, key, digits in pairs]
    assert card.locator(".scores span").all_inner_texts() == [*said, f"KL {row['kl']:.3f}"]
    page.fill("[name=search]", "prefix 5 begins")
    assert not any(text.startswith("KL") for text in page.locator("article.paragraph .scores span").all_inner_texts())


def test_tokens_are_coloured_by_their_nll(report, open_page):
    page = open_page(report).page
    page.fill("[name=search]", "alert(1)")
    colours = page.locator(".token").evaluate_all("all => all.map(one => getComputedStyle(one).backgroundColor)")
    assert colours == ["rgba(213, 94, 0, 0)", "rgba(213, 94, 0, 0.376)", "rgba(213, 94, 0, 0.75)", "rgba(213, 94, 0, 0)"]
    assert page.locator(".token").first.get_attribute("title") == "NLL 0 before, 60 after"


def test_a_script_that_got_in_would_not_run(report, open_page, tmp_path):
    """The second line of defence: escaping is the first."""
    broken = tmp_path / "broken.html"
    broken.write_text(report.read_text("utf-8").replace("<h1>", "<script>document.title = 'run'</script><h1>"), "utf-8")
    opened = open_page(broken)
    assert opened.page.title() == "memunlearn: report of a run"
    assert len(opened.complaints) == 1 and "Content Security Policy" in opened.complaints[0]


def test_without_scripts_numbers_pictures_and_texts_are_there(report, open_page):
    opened = open_page(report, scripts=False)
    page = opened.page
    assert page.locator("figure img:visible").count() == 5 and not page.locator("#browser").is_visible()
    assert page.locator("table.texts tbody tr").count() == 30
    assert f"after {ATTACK}" in page.inner_text("table.texts") and "stopped after 37 steps" in page.inner_text("body")


def test_on_paper_the_pictures_and_the_table_stand_in(report, open_page):
    page = open_page(report).page
    page.wait_for_selector("#figure-mask.drawn svg")
    page.emulate_media(media="print")
    assert page.locator("figure img:visible").count() == 5 and not page.locator(".plot:visible").count()
    assert page.locator("table.texts").is_visible() and not page.locator("#browser").is_visible()
    assert page.pdf().startswith(b"%PDF")
    assert page.locator("details[open]").count() == page.locator("details").count() == 2


def test_a_figure_that_cannot_be_drawn_keeps_its_picture_and_the_later_ones_are_drawn(report, open_page, tmp_path):
    html = report.read_text()
    start = html.index('id="plots">') + len('id="plots">')
    end = html.index("</script>", start)
    plots = json.loads(html[start:end])
    first, *later = plots
    plots[first]["wide"] = {"mark": "no such mark", "vconcat": 3}
    broken = tmp_path / "broken.html"
    broken.write_text(html[:start] + json.dumps(plots).replace("<", "\\u003c") + html[end:])
    opened = open_page(broken, DESKTOP)
    opened.page.wait_for_selector(f"#figure-{later[-1]}.drawn svg")
    assert opened.page.locator("figure.drawn").count() == len(later)
    assert any(first in complaint for complaint in map(str, opened.complaints))
