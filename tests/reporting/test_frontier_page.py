"""frontier.html: what it says, and as a reader opens it."""

import fake_frontiers
import pytest
from browser import DESKTOP, PHONE

from memunlearn.errors import UserError
from memunlearn.reporting.__main__ import main
from memunlearn.reporting.frontier_page import write_frontier
from memunlearn.reporting.sweep_summary import write_summary

HOSTILE = "</table><script>alert(1)</script> & more"


@pytest.fixture(scope="module")
def sweep(tmp_path_factory):
    folder = fake_frontiers.write_frontier(tmp_path_factory.mktemp("frontier"))
    fake_frontiers.write_failure(folder / "30", HOSTILE)
    write_frontier(folder)
    return folder


def test_a_sweep_with_a_plan_gets_this_summary(sweep, capsys):
    names = [path.name for path in write_summary(sweep)]
    assert names[:2] == ["frontier.html", "frontier.md"] and "frontier.png" in names and "frontier.pdf" in names
    assert not (sweep / "sweep.html").exists()
    before = (sweep / "frontier.html").read_bytes()
    assert main([str(sweep)]) == 0 and "frontier.html" in capsys.readouterr().out
    assert (sweep / "frontier.html").read_bytes() == before


def test_the_picture_comes_first_then_who_wins(sweep):
    html = (sweep / "frontier.html").read_text()
    places = [
        html.index(part) for part in ('id="figure-frontier"', 'id="winners"', 'id="figure-methods"', 'id="how"', 'id="runs"')
    ]
    assert places == sorted(places)
    assert "30 of 31 jobs finished, 1 failed." in html and 'href="./0/report.html"' in html


def test_a_damaged_plan_is_one_line(tmp_path):
    (tmp_path / "frontier.json").write_text("{}")
    with pytest.raises(UserError, match="frontier.json is damaged"):
        write_summary(tmp_path)


@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_it_opens_without_a_complaint_and_fits(sweep, open_page, size):
    opened = open_page(sweep / "frontier.html", size)
    opened.page.wait_for_selector("#figure-hypervolume.drawn svg")
    assert opened.page.locator("figure .plot svg").count() == opened.page.locator("figure").count() == 3
    assert opened.complaints == [] and opened.fetched == [] and not opened.scrolls_sideways
    assert opened.page.get_by_text(HOSTILE, exact=False).first.is_visible()
    assert (sweep / "frontier.html").stat().st_size < 2_000_000
