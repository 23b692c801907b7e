"""From what a user gives to a list of files."""

from __future__ import annotations

import json
import os

import numpy as np
import packing
import pytest
import torch
from omegaconf import OmegaConf

from memunlearn.errors import UserError
from memunlearn.paragraphs.given_files import given_files, kind_of, names_in_short
from memunlearn.paragraphs.readers import check_file, read_paragraphs
from memunlearn.paragraphs.sources import FileSource


def words(batch, add_special_tokens, verbose):
    return {"input_ids": [[len(word) for word in text.split()] for text in batch]}


def fill(folder, *names):
    for name in names:
        packing.write(folder / name, f"text of {name}")
    return folder


def names(given):
    return [file.name for file in given_files(given).files]


def test_a_folder_is_its_files_by_name_all_the_way_down_without_hidden_ones(tmp_path):
    fill(
        tmp_path, "b.txt", "a/z.md", "a/b/c.TXT", "ä b=1,2.txt", ".hidden.txt", ".git/x.txt", "a-b.txt", "no.docx", "a/Makefile"
    )
    (tmp_path / "empty.txt").touch()
    given = given_files(f"{tmp_path}/")
    assert [file.name for file in given.files] == ["a/b/c.TXT", "a/z.md", "a-b.txt", "b.txt", "ä b=1,2.txt"]
    assert sorted(given.left_out) == ["a/Makefile", "empty.txt (empty)", "no.docx"]
    assert [file.path for file in given.files] == [tmp_path / file.name for file in given.files]


def test_links_are_followed_and_loops_end(tmp_path):
    fill(tmp_path / "own", "a/one.txt")
    fill(tmp_path / "elsewhere", "two.txt")
    (tmp_path / "own" / "a" / "up").symlink_to(tmp_path / "own")
    (tmp_path / "own" / "link").symlink_to(tmp_path / "elsewhere")
    assert names(tmp_path / "own") == ["a/one.txt", "link/two.txt"]
    (tmp_path / "own" / "lost.txt").symlink_to(tmp_path / "nowhere.txt")
    with pytest.raises(UserError, match="lost.txt: no such file"):
        given_files(tmp_path / "own")


def test_lists_add_up_in_order_and_files_of_one_name_are_told_apart(tmp_path):
    fill(tmp_path, "x/a.txt", "y/a.txt", "y/deep/b.txt", "c.txt", "z/y/a.txt")
    given = [tmp_path / "c.txt", tmp_path / "y", str(tmp_path / "x" / "a.txt"), tmp_path / "z" / "y" / "a.txt"]
    called = names(given)
    assert called[0] == "c.txt" and called[2] == "deep/b.txt" and called[3] == "x/a.txt" and called[4] == "z/y/a.txt"
    assert called[1].endswith("/y/a.txt") and len(set(called)) == 5


def test_what_is_given_twice_is_read_once(tmp_path):
    fill(tmp_path, "a.txt", "b.txt")
    given = given_files([tmp_path, tmp_path / "b.txt", tmp_path / ".." / tmp_path.name / "a.txt"])
    assert [file.name for file in given.files] == ["a.txt", "b.txt"]
    assert given.left_out == ("b.txt (given twice)", "a.txt (given twice)")


@pytest.mark.parametrize("given", [[], ["a.txt", "none.txt"], ["a.txt", "odd"], ["a.txt", "only"], ["a.txt", "a.doc"]])
def test_one_bad_path_of_several_is_refused_by_name(tmp_path, given):
    fill(tmp_path, "a.txt", "a.doc", "only/x.doc", "only/.y.txt")
    (tmp_path / "odd").mkdir()
    with pytest.raises(UserError, match=given[-1] if given else "is empty") as error:
        check_file([tmp_path / name for name in given], 3, 2)
    assert "\n" not in str(error.value)


def test_a_folder_without_permission_is_refused(tmp_path):
    if os.geteuid() == 0:
        pytest.skip("root reads everything")
    fill(tmp_path / "closed", "a.txt")
    (tmp_path / "closed").chmod(0)
    with pytest.raises(UserError, match="cannot be read"):
        given_files(tmp_path)
    (tmp_path / "closed").chmod(0o700)


def test_pipes_in_a_folder_are_refused(tmp_path):
    fill(tmp_path, "a.txt")
    os.mkfifo(tmp_path / "b.txt")
    with pytest.raises(UserError, match="b.txt: is a pipe"):
        given_files(tmp_path)


def test_kinds(tmp_path):
    kinds = {"a.csv": ".csv", "a.b.JSONL.GZ": ".jsonl", "a.txt.zst": ".txt", "a.pt": ".pt", "a.npy.gz": None, "gz": None}
    assert {name: kind_of(tmp_path / name) for name in kinds} == kinds
    assert kind_of(tmp_path / "a.gz") is None and kind_of(tmp_path / "a.txt.gz.gz") is None
    packing.write(tmp_path / "ids.npy", "x", ".gz")
    with pytest.raises(UserError, match="ids.npy.gz: is packed: unpack it first"):
        given_files(tmp_path / "ids.npy.gz")


def test_names_in_short():
    assert names_in_short(["a", "b"]) == "a, b"
    assert names_in_short(["a", "b", "c"], most=2) == "a, b and 1 more"
    assert names_in_short(["a", "b"], 12, most=2) == "a, b and 10 more"


def test_ids_and_texts_of_a_mix_add_up_and_too_short_ones_are_named(tmp_path, capsys):
    torch.save(torch.arange(10).reshape(2, 5), tmp_path / "m.pt")
    np.save(tmp_path / "n.npy", np.arange(5)[None] + 50)
    packing.write(tmp_path / "rows.jsonl", '{"ids": [7, 7, 7, 7, 7, 7]}\n{"ids": [1]}\n', ".gz")
    packing.write(tmp_path / "t.csv", "name;text\nLong;a bb ccc dddd eeeee\nShort;a bb\n;x\n")
    for number in range(12):
        packing.write(tmp_path / "short" / f"{number:02d}.txt", "too few")
    packing.write(tmp_path / "note.docx", "x")
    result = read_paragraphs(tmp_path, 3, 2, tokenizer=words)
    assert result.paragraphs.ids.tolist() == [[0, 1, 2, 3, 4], [5, 6, 7, 8, 9], [50, 51, 52, 53, 54], [7] * 5, [1, 2, 3, 4, 5]]
    assert result.paragraphs.origin == ("m.pt:0", "m.pt:1", "n.npy:0", "rows.jsonl.gz:0", "Long")
    assert result.dropped == 15 and len(result.too_short) == 15
    said = capsys.readouterr().err
    assert "left out, as no paragraphs: note.docx" in said
    assert "1 of 2 rows dropped: fewer than 5 tokens: rows.jsonl.gz:1\n" in said
    shown = ", ".join(f"short/{number:02d}.txt" for number in range(10))
    assert f"14 of 15 texts dropped: fewer than 5 tokens: {shown} and 4 more" in said
    with pytest.raises(UserError, match=r"none of its 12 rows has 5 tokens \(00.txt, 01.txt.* and 2 more\)"):
        read_paragraphs(tmp_path / "short", 3, 2, tokenizer=words)


def test_a_file_source_takes_folders_and_lists_of_a_config(tmp_path):
    fill(tmp_path, "in/a.txt", "in/b.txt", "c.txt", "d.txt", "e.txt")
    given = OmegaConf.create({"forget": [str(tmp_path / "in"), str(tmp_path / "c.txt")], "retain": str(tmp_path / "d.txt")})
    source = FileSource(prefix_length=2, continuation_length=1, forget=given.forget, retain=given.retain)
    source.check()
    loaded = source.load(words)
    assert {origin.partition("@")[0] for origin in loaded.forget.origin} == {"a.txt", "b.txt", "c.txt"}
    assert {origin.partition("@")[0] for origin in loaded.retain.origin} == {"d.txt"}
    assert loaded.description.startswith("forget: in + c.txt, ") and "; retain: d.txt, " in loaded.description


@pytest.mark.parametrize(
    ("name", "content", "packed", "said"),
    [
        ("a.csv", "x;y\n1;2\n", "", "which column.*x, y"),
        ("a.jsonl", '{"x": "1"', ".gz", "line 1 is not JSON"),
        ("a.json", "[1,", ".zst", "the file is not JSON"),
        ("a.parquet", "PAR1", ".gz", "is not a parquet file"),
        ("a.txt", b"\xff", "", "byte 0"),
    ],
)
def test_a_bad_file_among_good_ones_is_found_before_a_model_is_loaded(tmp_path, name, content, packed, said):
    packing.write(tmp_path / "good.jsonl", json.dumps({"text": "fine"}))
    path = packing.write(tmp_path / name, content, packed)
    with pytest.raises(UserError, match=said) as error:
        FileSource(prefix_length=3, continuation_length=2, path=tmp_path).check()
    assert path.name in str(error.value)
