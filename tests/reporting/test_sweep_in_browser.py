"""sweep.html as a reader opens it: from disk, with the network off."""

import fake_sweeps
import pytest
from browser import DESKTOP, PHONE

from memunlearn.reporting.sweep_summary import write_summary

HOSTILE = "</table><script>alert(1)</script> & more"


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    folder = fake_sweeps.write_sweep(tmp_path_factory.mktemp("sweep"), seeds=5)
    fake_sweeps.write_failure(folder / "failed", error=HOSTILE)
    write_summary(folder)
    return folder / "sweep.html"


@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_it_opens_without_a_complaint_and_fits(page, open_page, size):
    opened = open_page(page, size)
    opened.page.wait_for_selector(".js-plotly-plot svg")
    assert opened.complaints == [] and opened.fetched == []
    assert not opened.scrolls_sideways
    assert page.stat().st_size < 8_000_000


def test_every_figure_is_drawn(page, open_page):
    opened = open_page(page)
    opened.page.wait_for_selector(".js-plotly-plot svg")
    assert opened.page.locator(".plot").count() > 3 and opened.page.locator(".plot:not(.js-plotly-plot)").count() == 0


def test_a_failure_is_shown_literally(page, open_page):
    opened = open_page(page)
    assert opened.page.get_by_text(HOSTILE, exact=False).first.is_visible()
    assert opened.complaints == []
