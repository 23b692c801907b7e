"""localization.html as a reader has it: in Chromium, from disk, without a network."""

import fake_charts
import pytest
from browser import DESKTOP, PHONE, eventually

from memunlearn.charts.matplotlib_files import picture
from memunlearn.files.writing import write_text
from memunlearn.reporting.localization_page import localization_page

LAST = fake_charts.charts()[-1].name


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "localization.html"
    findings = fake_charts.findings()
    pictures = [picture(chart) for finding in findings for chart in finding.charts]
    write_text(path, localization_page(findings, pictures, {}, {"command": "python localize.py"}, ["A note."]))
    assert path.stat().st_size < 8_000_000
    return path


@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_every_figure_is_drawn_without_a_complaint_or_a_network(file, open_page, size):
    opened = open_page(file, size)
    page = opened.page
    page.wait_for_selector(f"#figure-{LAST} .main-svg")
    assert page.locator("figure .plot.js-plotly-plot").count() == len(fake_charts.charts())
    assert not page.locator("figure img:visible").count() and not opened.scrolls_sideways
    assert opened.complaints == [] and opened.fetched == []


@pytest.mark.parametrize(("size", "columns"), [(DESKTOP, 2), (PHONE, 1)], ids=["desktop", "phone"])
def test_panels_stand_below_each_other_on_a_phone(file, open_page, size, columns):
    page = open_page(file, size).page
    page.wait_for_selector(f"#figure-{LAST} .main-svg")
    maps = page.locator(f"#figure-{LAST} .heatmaplayer image").all()
    boxes = [one.bounding_box() for one in maps]
    assert len(boxes) == 4 and len({round(box["x"]) for box in boxes}) == columns


def test_a_turned_phone_gets_the_other_layout(file, open_page):
    page = open_page(file).page
    page.wait_for_selector(f"#figure-{LAST} .main-svg")
    wide = page.locator(f"#figure-{LAST} .plot").bounding_box()["height"]
    page.set_viewport_size({"width": 420, "height": 800})
    eventually(page, f"document.querySelector('#figure-{LAST} .plot').layout.height > {wide + 200}")


def test_labels_are_literal(file, open_page):
    page = open_page(file).page
    page.wait_for_selector("#figure-only-bars .main-svg")
    shown = page.locator("#figure-only-bars .legendtext").all_text_contents()
    assert shown == ["one head", fake_charts.HOSTILE]
    page.wait_for_selector(f"#figure-{LAST} .main-svg")
    assert fake_charts.HOSTILE in page.locator("figcaption").first.inner_text()


def test_without_scripts_and_on_paper_the_pictures_stand_in(file, open_page):
    still = open_page(file, scripts=False).page
    assert still.locator("figure img:visible").count() == len(fake_charts.charts())
    page = open_page(file).page
    page.wait_for_selector(f"#figure-{LAST} .main-svg")
    page.emulate_media(media="print")
    assert page.locator("figure img:visible").count() == len(fake_charts.charts()) and not page.locator(".plot:visible").count()
    page.pdf()
    assert page.locator("details[open]").count() == page.locator("details").count()
