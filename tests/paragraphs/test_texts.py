"""Every format, packed and not: the same texts, with their names and what stands beside them."""

from __future__ import annotations

import csv
import io
import json

import packing
import pyarrow
import pyarrow.parquet
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from memunlearn.errors import UserError
from memunlearn.paragraphs.given_files import given_files
from memunlearn.paragraphs.readers import check_file, read_paragraphs
from memunlearn.paragraphs.texts import LONGEST_NAME, LONGEST_VALUE, Text, read_texts

ROWS = [
    {"title": "Über die Brücke", "text": "a bb ccc\r\ndddd 🎈 ffffff", "year": 1999, "ok": True, "score": 0.5},
    {"title": "", "text": "g\0h ii, jj; kk\t|", "year": None, "ok": False, "score": -2.0},
    {"title": "Über die Brücke", "text": '"quoted" l m n\no', "year": 7, "ok": None, "score": 1e300},
]


def texts(given, column=None):
    return list(read_texts(given_files(given).files, column))


def words(batch, add_special_tokens, verbose):
    return {"input_ids": [[len(word) for word in text.split()] for text in batch]}


def written(kind):
    """The rows as a file of this kind."""
    if kind == ".parquet":
        file = io.BytesIO()
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist([{**row, "tags": ["x"]} for row in ROWS]), file)
        return file.getvalue()
    if kind == ".jsonl":
        return "".join(json.dumps({**row, "tags": ["x"]}) + "\n" for row in ROWS)
    if kind == ".json":
        return json.dumps([{**row, "tags": ["x"]} for row in ROWS], indent=1)
    file = io.StringIO()
    writer = csv.writer(file, delimiter="\t" if kind == ".tsv" else ",")
    writer.writerow(ROWS[0])
    writer.writerows([[json.dumps(one) if isinstance(one, bool) else one for one in row.values()] for row in ROWS])
    return file.getvalue()


@pytest.mark.parametrize("packed", packing.PACKERS)
@pytest.mark.parametrize("kind", [".jsonl", ".json", ".csv", ".tsv", ".parquet"])
def test_tables_of_every_kind_and_packing_give_the_same_texts(tmp_path, kind, packed):
    path = packing.write(tmp_path / f"korpus für a=1,b{kind}", written(kind), packed)
    got = texts(path)
    assert [text.content for text in got] == [row["text"] for row in ROWS]
    assert [text.name for text in got] == [
        "Über die Brücke",
        f"{path.name}:1",
        f"Über die Brücke ({path.name}:2)",
    ]
    assert got[0].columns == {"title": "Über die Brücke", "year": "1999", "ok": "true", "score": "0.5"}
    assert got[1].columns.get("year", "") == "" and float(got[2].columns["score"]) == 1e300
    read = read_paragraphs(path, 3, 2, tokenizer=words).paragraphs
    assert read.ids.tolist()[0] == [1, 2, 3, 4, 1] and read.origin == tuple(text.name for text in got)


@pytest.mark.parametrize("packed", packing.PACKERS)
@pytest.mark.parametrize("content", ["one\r\ntwo\rthree\n", "🎈 emoji", "nul \0 byte", "", "\n\n", "x" * 70_000 + "ü"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("kind", [".txt", ".md", ".TXT"])
def test_a_whole_file_is_one_text_as_it_stands(tmp_path, kind, mark, content, packed):
    path = packing.write(tmp_path / f"mein text{kind}", mark + content.encode(), packed)
    if not path.stat().st_size:
        with pytest.raises(UserError, match="is empty"):
            texts(path)
        return
    assert texts(path) == [Text(path.name, content, {})]


def test_texts_of_a_folder_are_called_by_their_path_in_it(tmp_path):
    for name in ("b/Zeile 1.txt", "a.md", "b/c/ä=1,2.txt", "b.txt"):
        packing.write(tmp_path / name, f"this is {name}")
    packing.write(tmp_path / "b" / "rows.jsonl", '{"text": "no name"}\n{"text": "named", "id": 17}\n')
    names = [text.name for text in texts(tmp_path)]
    assert names == ["a.md", "b/Zeile 1.txt", "b/c/ä=1,2.txt", "b/rows.jsonl:0", "17", "b.txt"]


@pytest.mark.parametrize("column", ["1", 1, "null", "Mein Text"])
def test_columns_with_odd_names(tmp_path, column):
    path = packing.write(tmp_path / "a.csv", f"0;{column};x\nu;the text;v\n")
    got = texts(path, column)
    assert got[0].content == "the text" and got[0].columns == {"0": "u", "x": "v"}


def test_names_are_made_unique_whatever_they_are(tmp_path):
    rows = [
        {"text": "a"},
        {"text": "b", "name": "r.jsonl:0"},  # as the first is called
        {"text": "c", "name": "r.jsonl:9"},
        {"text": "d", "name": 17},
        {"text": "e", "name": "17"},
        {"text": "f", "name": {"no": "scalar"}, "source": " two\nlines "},
        {"text": "g", "Title": "\ud800 half"},
        {"text": "h", "url": "x" * 5000, "note": "y" * 5000},
    ]
    got = texts(packing.write(tmp_path / "r.jsonl", "".join(json.dumps(row) + "\n" for row in rows)))
    assert [text.name for text in got[:7]] == [
        "r.jsonl:0",
        "r.jsonl:0 (r.jsonl:1)",
        "r.jsonl:9 (r.jsonl:2)",
        "17",
        "17 (r.jsonl:4)",
        "two lines",
        "? half",
    ]
    assert len(got[7].name) == LONGEST_NAME and len(got[7].columns["note"]) == LONGEST_VALUE
    assert len({text.name for text in got}) == len(got)


@given(st.lists(st.sampled_from(["a", "b", "r.csv:0", "r.csv:1", "a (r.csv:1)", "b (r.csv:2)", "", " a "]), max_size=6))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)
def test_no_two_texts_of_a_set_have_one_name(tmp_path, names):
    file = io.StringIO()
    csv.writer(file).writerows([["text", "name"], *[["t", name] for name in names]])
    got = texts(packing.write(tmp_path / "r.csv", file.getvalue()))
    assert len({text.name for text in got}) == len(got) == len(names)


SIGNS = {"comma": ",", "semicolon": ";", "tab": "\t", "bar": "|"}
FIELD = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)


@pytest.mark.parametrize("sign", SIGNS)
@given(rows=st.lists(st.tuples(FIELD, FIELD, FIELD), min_size=1, max_size=5), packed=st.sampled_from(list(packing.PACKERS)))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)
def test_a_table_with_any_sign_between_columns_reads_back(tmp_path, sign, rows, packed):
    file = io.StringIO()
    writer = csv.writer(file, delimiter=SIGNS[sign], lineterminator="\r\n", quoting=csv.QUOTE_ALL)
    writer.writerows([["a,b;c|d", "text", "note"], *rows])
    got = texts(packing.write(tmp_path / "t.csv", file.getvalue(), packed))
    assert [text.content for text in got] == [row[1] for row in rows]
    assert [text.columns["note"] for text in got] == [row[2] for row in rows]


@pytest.mark.parametrize(("sign", "called"), [(",", "commas"), (";", "semicolons"), ("\t", "tabs"), ("|", "bars")])
def test_a_sign_within_a_field_is_named(tmp_path, sign, called):
    path = packing.write(tmp_path / "t.csv", f"id{sign}text\n1{sign}a{sign}b\n")
    with pytest.raises(UserError, match=f"line 2 has 3 fields.*quotes around fields with {called}"):
        texts(path)


def test_one_column_with_other_signs_in_its_texts_stays_one(tmp_path):
    assert [text.content for text in texts(packing.write(tmp_path / "t.csv", "text\none; two | three\n"))] == [
        "one; two | three"
    ]


@pytest.mark.parametrize(
    ("document", "contents"),
    [
        ([{"text": "a"}, {"text": "b"}], ["a", "b"]),
        (["a", "b", ""], ["a", "b", ""]),
        ({"text": "a"}, ["a"]),
        ({"text": "a", "tags": [{"x": 1}]}, ["a"]),
        ({"version": 1, "data": [{"text": "a"}, {"text": None}]}, ["a", ""]),
    ],
)
def test_json_documents(tmp_path, document, contents):
    assert [text.content for text in texts(packing.write(tmp_path / "d.json", json.dumps(document)))] == contents


@pytest.mark.parametrize(
    ("document", "found"),
    [
        ([], "an empty list"),
        ([1, "a"], "a list of int and str"),
        ([[1, 2]], "a list of list"),
        ("text", "one text"),
        (3, "one int"),
        (None, "one null"),
        ({"a": [{"text": "x"}], "b": [{"text": "y"}]}, "a, b"),
        ({}, "no columns"),
    ],
)
def test_json_documents_that_are_no_texts_are_refused_before_a_model_is_loaded(tmp_path, document, found):
    path = packing.write(tmp_path / "d.json", json.dumps(document))
    with pytest.raises(UserError, match=found):
        check_file(path, 3, 2)


@pytest.mark.parametrize("kind", [".txt", ".csv", ".jsonl", ".json"])
@pytest.mark.parametrize("packed", packing.PACKERS)
def test_the_first_byte_that_is_not_utf8_is_named(tmp_path, kind, packed):
    """Also beyond what a decoder takes at once, and after half of a character."""
    for before in ("", "ü" * 100_001):
        content = before.encode() + b"\xc3\xff"
        path = packing.write(tmp_path / f"latin{kind}", content, packed)
        with pytest.raises(UserError, match=rf"latin{kind}{packed}: is not text in UTF-8: byte {len(content) - 2} ") as error:
            texts(path)
        assert "\n" not in str(error.value)


def test_rows_that_are_no_text_are_named(tmp_path):
    path = packing.write(tmp_path / "r.jsonl", '{"text": "a", "name": "n"}\n\n{"text": ["a"], "name": "n"}\n')
    with pytest.raises(UserError, match=r"r.jsonl:1 \(line 3\): column 'text' holds a list"):
        texts(path)
    path = packing.write(tmp_path / "s.jsonl", '{"text": "a\\ud800", "name": "n"}\n')
    with pytest.raises(UserError, match=r"s.jsonl:0 \(line 1\): holds half of a surrogate pair at character 1"):
        texts(path)
