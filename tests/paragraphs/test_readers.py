"""Every suffix that paragraphs can come in, and everything that can be wrong with such a file."""

from __future__ import annotations

import csv
import json
import os
import pickle
import re

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
import torch

from memunlearn.errors import UserError
from memunlearn.paragraphs.readers import read_paragraphs

P, C = 3, 2
IDS = torch.tensor([[5, 1, 4, 1, 50256], [9, 2, 6, 5, 3], [5, 50256, 8, 9, 7]])


def byte_tokenizer(texts, add_special_tokens, verbose):
    """One token a word: its length."""
    return {"input_ids": [[len(word) for word in text.split()] for text in texts]}


def write_csv(path, header, rows):
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([header, *rows])
    return path


def write_jsonl(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def refuse(path, *parts, tokenizer=None, column=None):
    """Reading fails with one line that holds every part."""
    with pytest.raises(UserError) as error:
        read_paragraphs(path, P, C, tokenizer=tokenizer, column=column)
    message = str(error.value)
    assert "\n" not in message
    for part in parts:
        assert str(part) in message, message


def test_pt(tmp_path):
    torch.save(IDS.to(torch.int32), tmp_path / "a.pt")
    result = read_paragraphs(tmp_path / "a.pt", P, C)
    assert torch.equal(result.paragraphs.ids, IDS)
    assert result.paragraphs.prefix_length == P
    assert result.paragraphs.origin == ("a.pt:0", "a.pt:1", "a.pt:2")
    assert result.dropped == 0


@pytest.mark.parametrize("dtype", ["uint16", "int32", ">i8", "uint64", "float64", "float32"])
def test_npy_of_every_kind_of_number(tmp_path, dtype):
    np.save(tmp_path / "a.npy", IDS.numpy().astype(dtype))
    assert torch.equal(read_paragraphs(str(tmp_path / "a.npy"), P, C).paragraphs.ids, IDS)


def test_pt_of_bfloat16_integers(tmp_path):
    torch.save(torch.tensor([[1.0, 2, 3, 4, 5]], dtype=torch.bfloat16), tmp_path / "a.pt")
    assert read_paragraphs(tmp_path / "a.pt", P, C).paragraphs.ids.tolist() == [[1, 2, 3, 4, 5]]


def test_pair_of_uint16_files(tmp_path):
    np.save(tmp_path / "A.npy", IDS[:, :P].numpy().astype(np.uint16))
    np.save(tmp_path / "B.npy", IDS[:, P:].numpy().astype(np.uint16))
    read = read_paragraphs({"prefix": tmp_path / "A.npy", "continuation": tmp_path / "B.npy"}, P, C).paragraphs
    assert torch.equal(read.ids, IDS)
    assert read.origin[2] == "A.npy+B.npy:2"


@pytest.mark.parametrize(
    "spelling", ["[5, 1, 4, 1, 50256, 12]", "5 1 4 1 50256 12", "5,1,4,1,50256,12", "(5.0, 1, 4, 1, 50256)"]
)
@pytest.mark.parametrize("name", ["ids", "anything"])
def test_csv_of_ids_in_several_spellings(tmp_path, spelling, name):
    path = write_csv(tmp_path / "a.csv", [name], [[spelling]])
    assert read_paragraphs(path, P, C).paragraphs.ids.tolist() == [[5, 1, 4, 1, 50256]]


def test_jsonl_drops_short_rows_out_loud_and_keeps_row_numbers(tmp_path, capsys):
    path = write_jsonl(
        tmp_path / "a.jsonl", [{"ids": [1]}, {"ids": [1, 2, 3, 4, 5, 6]}, {"ids": None}, {"ids": [7, 7, 7, 7, 7]}]
    )
    result = read_paragraphs(path, P, C)
    assert result.paragraphs.ids.tolist() == [[1, 2, 3, 4, 5], [7, 7, 7, 7, 7]]
    assert result.paragraphs.origin == ("a.jsonl:1", "a.jsonl:3")
    assert result.dropped == 2
    assert "a.jsonl: 2 of 4 rows dropped: fewer than 5 tokens" in capsys.readouterr().err


def test_parquet_of_ids_and_of_text(tmp_path):
    table = pyarrow.table({"text": ["a bb ccc dddd eeeee ffffff"], "input_ids": [[3, 1, 4, 1, 5, 9]], "n": [7]})
    pyarrow.parquet.write_table(table, tmp_path / "a.parquet")
    assert read_paragraphs(tmp_path / "a.parquet", P, C).paragraphs.ids.tolist() == [[3, 1, 4, 1, 5]]
    text = read_paragraphs(tmp_path / "a.parquet", P, C, tokenizer=byte_tokenizer, column="text").paragraphs
    assert text.ids.tolist() == [[1, 2, 3, 4, 5]]


def test_csv_of_text_with_line_breaks_and_long_fields(tmp_path):
    rows = [["one two three\nfour, five", "1"], ["", "2"], ["ab " * 60_000, "3"]]
    path = write_csv(tmp_path / "a.csv", ["paragraph", "id"], rows)
    result = read_paragraphs(path, P, C, tokenizer=byte_tokenizer)
    assert result.paragraphs.ids.tolist() == [[3, 3, 5, 5, 4], [2, 2, 2, 2, 2]]
    assert result.paragraphs.origin == ("1", "3")


def test_numbers_in_a_text_column_are_text(tmp_path):
    path = write_jsonl(tmp_path / "a.jsonl", [{"text": "1990 1991 1992 12 7 8"}])
    assert read_paragraphs(path, P, C, tokenizer=byte_tokenizer).paragraphs.ids.tolist() == [[4, 4, 4, 2, 1]]


def test_column_is_chosen_by_name_then_by_being_the_only_one(tmp_path):
    path = write_jsonl(tmp_path / "a.jsonl", [{"x": [1, 2, 3, 4, 5], "tokens": [9, 9, 9, 9, 9]}])
    assert read_paragraphs(path, P, C).paragraphs.ids.tolist() == [[9] * 5]
    assert read_paragraphs(path, P, C, column="x").paragraphs.ids.tolist() == [[1, 2, 3, 4, 5]]
    refuse(path, "'y'", "x, tokens", "paragraphs.column", column="y")
    refuse(write_csv(tmp_path / "b.csv", ["u", "v"], [["1", "2"]]), "u, v", "paragraphs.column")


def test_text_needs_a_tokenizer(tmp_path):
    refuse(write_jsonl(tmp_path / "a.jsonl", [{"text": "so it goes"}]), "model.tokenizer", "'text'")


@pytest.mark.parametrize(
    ("values", "part"),
    [
        ([[1.0, 2, 3, 4, float("nan")]], "nan"),
        ([[1.0, 2, 3, 4, 5], [1, 2, float("inf"), 4, 5]], "bad.npy:1: inf at position 2"),
        ([[1.0, 2, 3, 4, 5], [1, 2, 3, 4.5, 5]], "bad.npy:1: 4.5 at position 3"),
        ([[1, 2, 3, 4, 5], [1, -2, 3, 4, 5]], "bad.npy:1: token id -2 is negative"),
        (np.full((1, 5), 2**63, dtype=np.uint64), "9223372036854775808"),
        ([["a", "b", "c", "d", "e"]], "not token ids"),
        ([[True, False, True, False, True]], "not token ids"),
        ([1, 2, 3, 4, 5], "shape [5]"),
        (np.zeros((0, 5)), "no rows"),
        (np.arange(12).reshape(2, 6), "BOS"),
    ],
)
def test_bad_numbers(tmp_path, values, part):
    np.save(tmp_path / "bad.npy", np.asarray(values))
    refuse(tmp_path / "bad.npy", "bad.npy", part)


@pytest.mark.parametrize(
    "row", [[1, 2.5, 3, 4, 5], [1, "two", 3, 4, 5], [[1, 2], [3]], 7, [1, None, 3, 4, 5], "1 2 x 4 5", [1, 2, -3, 4, 5]]
)
def test_bad_rows_in_a_column_are_named(tmp_path, row):
    refuse(write_jsonl(tmp_path / "a.jsonl", [{"ids": [1, 2, 3, 4, 5]}, {"ids": row}]), "a.jsonl:1")


@pytest.mark.parametrize("width", [3, 6, 101])
def test_wrong_width_names_both_and_the_settings(tmp_path, width):
    torch.save(torch.arange(2 * width).reshape(2, width), tmp_path / "a.pt")
    refuse(
        tmp_path / "a.pt", f"{width} tokens", "5 were expected", "paragraphs.prefix_length", "paragraphs.continuation_length"
    )


def test_paragraphs_with_a_bos_token_are_refused_by_their_width(tmp_path):
    torch.save(torch.cat([torch.full((4, 1), 50256), torch.arange(400).reshape(4, 100)], dim=1), tmp_path / "bos.pt")
    with pytest.raises(UserError, match="101 tokens, 100 were expected.*BOS"):
        read_paragraphs(tmp_path / "bos.pt", 50, 50)


def test_bad_pairs(tmp_path):
    np.save(tmp_path / "A.npy", IDS[:, :P].numpy())
    np.save(tmp_path / "B.npy", IDS[:, P:].numpy())
    np.save(tmp_path / "short.npy", IDS[:2, P:].numpy())
    refuse({"prefix": tmp_path / "A.npy", "continuation": tmp_path / "short.npy"}, "3 rows", "2")
    refuse({"prefix": tmp_path / "A.npy", "continuation": tmp_path / "A.npy"}, "paragraphs.continuation_length", "3 tokens, 2")
    refuse({"prefix": tmp_path / "B.npy", "continuation": tmp_path / "B.npy"}, "paragraphs.prefix_length")
    refuse({"prefix": tmp_path / "A.npy"}, "prefix and continuation")
    refuse({"prefix": tmp_path / "A.npy", "suffix": tmp_path / "B.npy"}, "prefix, suffix")
    refuse({"prefix": tmp_path / "A.npy", "continuation": write_csv(tmp_path / "c.csv", ["ids"], [["1 2"]])}, "c.csv")


def test_files_that_cannot_be_read(tmp_path):
    refuse(tmp_path / "none.pt", "no such file", "none.pt")
    (tmp_path / "folder").mkdir()
    refuse(tmp_path / "folder", "holds no file that can be read")
    refuse(7, "7: no such file")
    refuse(f"{'x' * 5000}.pt", "cannot be read")
    for suffix in (".pt", ".npy", ".csv", ".jsonl", ".parquet"):
        path = tmp_path / f"empty{suffix}"
        path.touch()
        refuse(path, f"empty{suffix}: is empty")
        path = tmp_path / f"noise{suffix}"
        path.write_bytes(b"\x80\x81\x00PK\x03\x04" * 20)
        refuse(path, f"noise{suffix}")
    (tmp_path / "a.doc").write_text("x")
    refuse(tmp_path / "a.doc", ".parquet")
    write_csv(tmp_path / "header.csv", ["ids"], [])
    refuse(tmp_path / "header.csv", "no rows")
    (tmp_path / "blank.csv").write_text("\n1\n")
    refuse(tmp_path / "blank.csv", "no columns")
    (tmp_path / "blank.jsonl").write_text("\n\n")
    refuse(tmp_path / "blank.jsonl", "no rows")
    (tmp_path / "list.jsonl").write_text("[1, 2]\n")
    refuse(tmp_path / "list.jsonl", "line 1")
    (tmp_path / "commas.csv").write_text("ids\n1,2,3\n")
    refuse(tmp_path / "commas.csv", "line 2", "quotes")
    refuse(write_jsonl(tmp_path / "short.jsonl", [{"ids": [1]}, {"ids": []}]), "none of its 2 rows has 5 tokens")


def test_half_a_file(tmp_path):
    torch.save(IDS, tmp_path / "a.pt")
    np.save(tmp_path / "a.npy", IDS.numpy())
    pyarrow.parquet.write_table(pyarrow.table({"ids": IDS.tolist()}), tmp_path / "a.parquet")
    for path in (tmp_path / "a.pt", tmp_path / "a.npy", tmp_path / "a.parquet"):
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        refuse(path, path)


def test_something_other_than_one_tensor(tmp_path):
    torch.save({"ids": IDS}, tmp_path / "a.pt")
    refuse(tmp_path / "a.pt", "dict")
    torch.save(IDS.to_sparse(), tmp_path / "b.pt")
    refuse(tmp_path / "b.pt", "dense")
    with (tmp_path / "c.npy").open("wb") as file:
        np.savez(file, a=IDS.numpy(), b=IDS.numpy())
    refuse(tmp_path / "c.npy", "several arrays")


class WritesAFile:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize(
    "save", [torch.save, lambda thing, path: path.write_bytes(pickle.dumps(thing))], ids=["torch", "pickle"]
)
def test_a_pickle_that_wants_to_run_code_does_not(tmp_path, save):
    proof = tmp_path / "proof"
    save(WritesAFile(proof), tmp_path / "evil.pt")
    refuse(tmp_path / "evil.pt", "could run code", "torch.save")
    assert not proof.exists()
    pickle.loads(pickle.dumps(WritesAFile(proof)))
    assert proof.exists(), "the pickle would have run"


def test_an_object_array_that_wants_to_run_code_does_not(tmp_path):
    proof = tmp_path / "proof"
    np.save(tmp_path / "evil.npy", np.array([[WritesAFile(proof)]], dtype=object), allow_pickle=True)
    refuse(tmp_path / "evil.npy", "numpy.save")
    assert not proof.exists()


def test_lengths_below_one(tmp_path):
    torch.save(IDS, tmp_path / "a.pt")
    with pytest.raises(UserError, match=re.escape("paragraphs.continuation_length=0")):
        read_paragraphs(tmp_path / "a.pt", 5, 0)
