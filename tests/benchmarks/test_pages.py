"""Tables are put between a page's markers, and nowhere else."""

import argparse

import pytest

from benchmarks.pages import add_page, between_markers, write_where_asked
from memunlearn.errors import UserError


def test_a_page_has_one_place_for_it():
    text = "above\n<!-- a -->\nold\n<!-- end of a -->\nbelow <!-- b -->"
    assert between_markers(text, "a", r"new \1") == "above\n<!-- a -->\nnew \\1\n<!-- end of a -->\nbelow <!-- b -->"
    with pytest.raises(UserError, match="end of b"):
        between_markers(text, "b", "new")
    with pytest.raises(UserError, match="no place"):
        between_markers(text + text, "a", "new")


def test_it_is_written_where_it_is_asked_for(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("above\n<!-- here -->\nold\n<!-- end of here -->\nbelow\n")
    parser = argparse.ArgumentParser()
    add_page(parser, "here")
    write_where_asked(parser.parse_args([]), "new")
    assert "old" in page.read_text()
    write_where_asked(parser.parse_args(["--write", str(page)]), "new")
    assert page.read_text() == "above\n<!-- here -->\nnew\n<!-- end of here -->\nbelow\n"
    with pytest.raises(UserError, match="end of elsewhere"):
        write_where_asked(parser.parse_args(["--write", str(page), "--place", "elsewhere"]), "new")
