"""spans.csv as a spreadsheet reads it."""

import csv

import pytest

from memunlearn.commands.found_files import write_spans
from memunlearn.reporting.found_texts import FoundText

SPAN = {"start": 4, "end": 9, "first_character": 11, "end_character": 30, "em": 5, "longest_run": 5, "log_p_z": 0.0}
NONE = {"em": 2, "longest_run": 3, "log_p_z": None}


def entry(name, *spans, **columns):
    return {"name": name, "kind": "recited" if spans else "not recited", "columns": columns, "spans": spans, **NONE}


def written(path, *texts, **options):
    write_spans(path, texts, 5, **{"show_texts": True, **options})
    content = path.read_bytes()
    assert content.startswith(b"\xef\xbb\xbf")
    return list(csv.reader(content.decode("utf-8-sig").splitlines(keepends=True)))


@pytest.mark.parametrize("sign", ["=", "+", "-", "@", "\t", "\r"])
def test_no_cell_is_a_formula(tmp_path, sign):
    evil = f"{sign}cmd|' /C calc'!A0"
    head, line = written(tmp_path / "s.csv", FoundText(entry(evil, SPAN, **{evil: evil}), "", [evil]))
    cells = [cell for cell in (*head, *line) if "calc" in cell]
    assert len(cells) == 4 and all(cell == f"'{evil}" for cell in cells)


def test_a_line_a_span_and_one_for_a_text_without(tmp_path):
    given = [
        FoundText(entry('a, "b"', SPAN, SPAN | {"start": 20, "end": 25}, source="x;y"), "", ["one\r\ntwo", "three"]),
        FoundText(entry("none"), "", []),
    ]
    head, *lines = written(tmp_path / "s.csv", *given)
    assert [line[head.index("from token")] for line in lines] == ["5", "21", ""]
    assert [line[head.index("to token")] for line in lines] == ["9", "25", ""]
    assert lines[0][head.index("from character") : head.index("to character") + 1] == ["12", "30"]
    assert [line[head.index("exact match (EM)")] for line in lines] == ["5", "5", "2"]
    assert [line[head.index("recited words")] for line in lines] == ["one\r\ntwo", "three", ""]
    assert [line[head.index("source")] for line in lines] == ["x;y", "x;y", ""]
    assert [line[head.index("samples")] for line in lines] == ["1", "1", ""]
    hidden = written(tmp_path / "h.csv", *given, show_texts=False)
    assert "recited words" not in hidden[0] and "three" not in str(hidden)
