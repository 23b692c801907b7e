"""attacks.html: what it says, and as a reader opens it."""

import fake_attacks
import fake_results
import pytest
from browser import DESKTOP, PHONE
from test_page import Page

from memunlearn.errors import UserError
from memunlearn.reporting.__main__ import main
from memunlearn.reporting.attacks_page import write_attacks_page
from memunlearn.reporting.run_page import write_run_page


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = fake_attacks.write_attacks(tmp_path_factory.mktemp("attacks"))
    assert write_attacks_page(made) == [made / "attacks.html"]
    return made


@pytest.fixture(scope="module")
def page(folder):
    return Page((folder / "attacks.html").read_text("utf-8"))


def test_sentences_come_first_then_the_worst_then_each_attack(folder):
    html = (folder / "attacks.html").read_text("utf-8")
    parts = ["no &lt;evidence&gt;", 'href="#attack-relearning"', 'id="worst"', 'id="figure-worst"', 'id="attack-relearning"']
    parts += ['id="figure-relearning"', 'id="attack-own_attack"', 'id="run"']
    places = [html.index(part) for part in parts]
    assert places == sorted(places)


def test_every_attempt_is_there(page):
    assert page.count("table") == 1 + 8 + 2 + 1  # worst, an attack each, further numbers of two, the run
    for words in (
        "On the unlearned model it brought back 1 of 12 rows whole.",
        "What was done & how.",
        "on half, lr 0.0002, steps 100 12 rows in 11 clusters",
        "12.0 9.0 to 15.0",
        "em_expected",
        "the row with its shots has 300 tokens, and the model reads 256: base (shots 2)",
        "To repeat it, at commit abc: python evaluate.py attacks=all",
        "sha256, patch 0123abcd",
        "time, Few shot 1.2 s",
    ):
        assert words in page.words, words


def test_texts_cannot_break_out(page):
    assert page.count("script") == 3
    assert page.words.count(fake_attacks.HOSTILE) == 4  # a sentence twice, a note, the configuration
    assert not any(key.startswith("on") for _, attrs in page.elements for key in attrs)


def test_the_same_file_gives_the_same_page(folder):
    before = (folder / "attacks.html").read_bytes()
    write_attacks_page(folder)
    assert (folder / "attacks.html").read_bytes() == before


def test_nothing_made_is_said(tmp_path):
    write_attacks_page(fake_attacks.write_attacks(tmp_path, attacks={}))
    assert "No attack was made." in Page((tmp_path / "attacks.html").read_text("utf-8")).words


def test_a_damaged_file_leaves_no_page(tmp_path):
    (tmp_path / "attacks.json").write_text("{}")
    with pytest.raises(UserError, match="attacks.json is damaged"):
        write_attacks_page(tmp_path)
    assert not (tmp_path / "attacks.html").exists()


@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_it_opens_without_a_complaint_and_fits(folder, open_page, size):
    opened = open_page(folder / "attacks.html", size)
    opened.page.wait_for_selector("#figure-few_shot.drawn svg")
    assert opened.page.locator("figure .plot svg").count() == opened.page.locator("figure").count() == 8
    assert opened.complaints == [] and opened.fetched == [] and not opened.scrolls_sideways
    assert opened.page.get_by_text(fake_attacks.HOSTILE, exact=False).first.is_visible()
    assert (folder / "attacks.html").stat().st_size < 2_500_000


def test_it_is_written_again_from_its_folder(folder, capsys):
    before = (folder / "attacks.html").read_bytes()
    (folder / "attacks.html").unlink()
    assert main([str(folder)]) == 0 and capsys.readouterr().out == f"wrote {folder / 'attacks.html'}\n"
    assert (folder / "attacks.html").read_bytes() == before
    (folder / "attacks.json").rename(folder / "moved.json")
    assert main([str(folder)]) == 2 and "error" in capsys.readouterr().err
    (folder / "moved.json").rename(folder / "attacks.json")


def test_a_run_s_page_names_it_where_it_is_there(tmp_path):
    def written():
        write_run_page(tmp_path, fake_results.result(), fake_results.curve(), fake_results.paragraphs(2), [])
        return Page((tmp_path / "report.html").read_text("utf-8"))

    links = {attrs.get("href") for tag, attrs in written().elements if tag == "a"}
    assert "attacks.html" not in links
    fake_attacks.write_attacks(tmp_path)
    page = written()
    assert "attacks.html" in {attrs.get("href") for tag, attrs in page.elements if tag == "a"}
    assert "What attempts to get the text back have brought: attacks.html." in page.words
