"""A text as the page shows it: every span once, in order, and of a long one what stands around its spans."""

import pytest

from memunlearn.reporting import found_texts
from memunlearn.reporting.found_texts import FoundText, Piece, pieces


def found(content, *spans, words=()):
    places = [{"first_character": first, "end_character": end} for first, end in spans]
    return FoundText({"spans": places}, content, words or [content[a:b] for a, b in spans if a is not None])


@pytest.fixture
def short(monkeypatch):
    monkeypatch.setattr(found_texts, "WHOLE", 20)
    monkeypatch.setattr(found_texts, "AROUND", 3)


def test_a_short_text_is_shown_whole(short):
    assert pieces(found("abcdefghij", (2, 5), (7, 10))) == [
        Piece("ab"),
        Piece("cde", 1),
        Piece("fg"),
        Piece("hij", 2),
    ]


def test_of_a_long_text_what_stands_around_its_spans_stays(short):
    content = "".join(chr(ord("a") + n % 26) for n in range(60))
    of = pieces(found(content, (20, 25), (28, 30), (50, 55)))
    assert of == [
        Piece("", left_out=17),
        Piece(content[17:20]),
        Piece(content[20:25], 1),
        Piece(content[25:28]),
        Piece(content[28:30], 2),
        Piece(content[30:33]),
        Piece("", left_out=14),
        Piece(content[47:50]),
        Piece(content[50:55], 3),
        Piece(content[55:58]),
        Piece("", left_out=2),
    ]
    assert sum(len(piece.words) + piece.left_out for piece in of) == len(content)


def test_without_characters_the_spans_alone_are_shown():
    of = pieces(found("", (None, None), (None, None), words=["one", "two"]))
    assert of == [Piece("one", 1), Piece("two", 2)]
