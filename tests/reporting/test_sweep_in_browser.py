"""sweep.html as a reader opens it: from disk, with the network off."""

import fake_sweeps
import pytest
from browser import DESKTOP, PHONE, eventually

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
    opened.page.wait_for_selector("#figure-differences.drawn svg")
    assert opened.page.locator("figure .plot svg").count() == opened.page.locator("figure").count() == 3
    assert opened.complaints == [] and opened.fetched == []
    assert not opened.scrolls_sideways
    assert page.stat().st_size < 2_000_000


def test_figures_say_what_they_are_to_those_who_do_not_see_them(page, open_page):
    opened = open_page(page)
    opened.page.wait_for_selector("#figure-differences.drawn svg")
    said = opened.page.locator("figure .plot[role=img]").evaluate_all("all => all.map(one => one.ariaLabel)")
    assert len(said) == 3 and all(len(one) > 40 for one in said)


def test_a_check_says_its_seed_and_step(page, open_page):
    opened = open_page(page)
    opened.page.wait_for_selector("#figure-trajectories.drawn svg")
    opened.page.locator("#figure-trajectories g.mark-symbol.role-mark path").nth(60).dispatch_event("pointermove")
    eventually(opened.page, "document.querySelector('#vg-tooltip-element.visible') !== null")
    words = opened.page.locator("#vg-tooltip-element").inner_text()
    assert words.startswith("seed ") and ", step " in words and "forget EM (tokens)" in words and opened.complaints == []


def test_a_failure_is_shown_literally(page, open_page):
    opened = open_page(page)
    assert opened.page.get_by_text(HOSTILE, exact=False).first.is_visible()
    assert opened.complaints == []
