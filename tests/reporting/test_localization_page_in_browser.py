"""localization.html as a reader has it: in Chromium, from disk, without a network."""

import fake_charts
import pytest
from browser import DESKTOP, PHONE, eventually

from memunlearn.charts.files import picture
from memunlearn.files.writing import write_text
from memunlearn.reporting.localization_page import localization_page

LAST = fake_charts.charts()[-1].name


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "localization.html"
    findings = fake_charts.findings()
    pictures = [picture(chart) for finding in findings for chart in finding.charts]
    write_text(
        path, localization_page(findings, pictures, {}, environment={"command": "python localize.py"}, notes=["A note."])
    )
    assert path.stat().st_size < 2_000_000
    return path


@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_every_figure_is_drawn_without_a_complaint_or_a_network(file, open_page, size):
    opened = open_page(file, size)
    page = opened.page
    page.wait_for_selector(f"#figure-{LAST}.drawn svg")
    assert page.locator("figure .plot svg").count() == len(fake_charts.charts())
    assert not page.locator("figure img:visible").count() and not opened.scrolls_sideways
    assert opened.complaints == [] and opened.fetched == []


@pytest.mark.parametrize(("size", "columns"), [(DESKTOP, 2), (PHONE, 1)], ids=["desktop", "phone"])
def test_panels_stand_below_each_other_on_a_phone(file, open_page, size, columns):
    page = open_page(file, size).page
    page.wait_for_selector(f"#figure-{LAST}.drawn svg")
    maps = page.locator(f"#figure-{LAST} g.mark-rect.role-mark").all()
    boxes = [one.bounding_box() for one in maps]
    assert len(boxes) == 4 and len({round(box["x"]) for box in boxes}) == columns
    assert all(box["x"] >= 0 and box["x"] + box["width"] <= size[0] for box in boxes)


def test_a_turned_phone_gets_the_other_figure(file, open_page):
    opened = open_page(file)
    page = opened.page
    page.wait_for_selector(f"#figure-{LAST}.drawn svg")
    wide = page.locator(f"#figure-{LAST} .plot").bounding_box()["height"]
    height = f"document.querySelector('#figure-{LAST} .plot').getBoundingClientRect().height"
    page.set_viewport_size({"width": 420, "height": 800})
    eventually(page, f"{height} > {wide + 200}")
    page.set_viewport_size({"width": 1280, "height": 800})
    eventually(page, f"Math.abs({height} - {wide}) < 2")
    assert page.locator(f"#figure-{LAST} .plot svg").count() == 1 and opened.complaints == []


def test_labels_are_literal(file, open_page):
    page = open_page(file).page
    page.wait_for_selector("#figure-only-bars.drawn svg")
    shown = page.locator("#figure-only-bars svg .role-mark text").all_text_contents()
    assert shown == ["one head", fake_charts.HOSTILE]
    assert fake_charts.HOSTILE in page.locator("figcaption").first.inner_text()


def test_values_stand_under_the_pointer_and_are_literal_too(file, open_page):
    opened = open_page(file)
    page = opened.page
    page.wait_for_selector(f"#figure-{LAST}.drawn svg")
    series = fake_charts.scatter().series[0]
    points = page.locator("#figure-only-scatter g.mark-symbol.role-mark path")
    points.filter(visible=True).nth(7).hover(force=True)
    words = " ".join(page.locator("#vg-tooltip-element.visible").inner_text().split())
    assert words.startswith("row ") and fake_charts.HOSTILE in words and "series memorized" in words
    row = int(words.split()[1])
    assert f"EM {row}" in words and f"NLL (nats per token) {float(f'{series.y[row]:.4g}'):g} (" in words and " to " in words
    page.locator("#figure-only-heat g.mark-rect.role-mark path").nth(9).hover()
    eventually(page, "document.querySelector('#vg-tooltip-element').innerText.startsWith('layer 1, component out')")
    assert "nats per token" in page.locator("#vg-tooltip-element").inner_text()
    assert opened.complaints == [] and opened.fetched == []


@pytest.mark.parametrize("kind", ["lines", "distributions", "bars", "estimates", "violins"])
def test_every_kind_answers_the_pointer(file, open_page, kind):
    page = open_page(file).page
    page.wait_for_selector(f"#figure-only-{kind}.drawn svg")
    name = {"bars": "rect", "violins": "area", "lines": "symbol"}.get(kind, "symbol")
    marks = page.locator(f"#figure-only-{kind} g.mark-{name}.role-mark path")
    marks.nth(5 if marks.count() > 8 else 2).dispatch_event("pointermove", {"bubbles": True})
    eventually(page, "document.querySelector('#vg-tooltip-element.visible') !== null")
    assert len(page.locator("#vg-tooltip-element").inner_text()) > 8


def test_a_click_in_the_legend_makes_the_others_pale(file, open_page):
    page = open_page(file).page
    page.wait_for_selector("#figure-only-lines.drawn svg")
    lines = page.locator("#figure-only-lines g.mark-line.role-mark path")
    paths = "[...document.querySelectorAll('#figure-only-lines g.mark-line.role-mark path')]"
    opacity = f"{paths}.map((path) => path.getAttribute('opacity')).join()"
    assert lines.count() == 2 and page.evaluate(opacity) == "1,1"
    page.locator("#figure-only-lines svg text", has_text="non-memorized").click(force=True)
    eventually(page, f"{opacity} === '0.08,1'")
    page.locator("#figure-only-lines svg text", has_text="non-memorized").click(force=True)
    eventually(page, f"{opacity} === '1,1'")


def test_without_scripts_and_on_paper_the_pictures_stand_in(file, open_page):
    still = open_page(file, scripts=False).page
    assert still.locator("figure img:visible").count() == len(fake_charts.charts())
    page = open_page(file).page
    page.wait_for_selector(f"#figure-{LAST}.drawn svg")
    page.emulate_media(media="print")
    assert page.locator("figure img:visible").count() == len(fake_charts.charts()) and not page.locator(".plot:visible").count()
    page.pdf()
    assert page.locator("details[open]").count() == page.locator("details").count()
