"""Tables that a command puts into a page of docs/, between markers."""

from __future__ import annotations

import argparse
import re
from pathlib import Path

from memunlearn.errors import UserError


def add_page(parser: argparse.ArgumentParser, place: str) -> None:
    """--write and --place. place: the markers' name by default."""
    parser.add_argument("--write", type=Path, metavar="PAGE", help="put the tables into this page, between its markers")
    parser.add_argument("--place", default=place, help=f"the markers' name (default: {place})")


def write_where_asked(asked: argparse.Namespace, content: str) -> None:
    """Into the page of --write, where there is one. Raises UserError where it has no such place."""
    if asked.write is not None:
        asked.write.write_text(between_markers(asked.write.read_text("utf-8"), asked.place, content), "utf-8")


def between_markers(text: str, name: str, content: str) -> str:
    """The text with the content between `<!-- name -->` and `<!-- end of name -->`. Raises UserError where these are not there
    once each."""
    marks = f"<!-- {name} -->", f"<!-- end of {name} -->"
    if any(text.count(mark) != 1 for mark in marks):
        raise UserError(f"the page has no place for this: put {marks[0]} and {marks[1]} where the tables are to stand")
    pattern = re.escape(marks[0]) + r".*?" + re.escape(marks[1])
    return re.sub(pattern, lambda _: f"{marks[0]}\n{content}\n{marks[1]}", text, flags=re.DOTALL)
