"""Files that are no paragraphs, by design, by damage and by malice: one line each, and no more memory than they are worth."""

from __future__ import annotations

import io
import json
import os
import random
import struct
import zipfile

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
import tiny_tokenizers
import torch

from memunlearn.errors import UserError
from memunlearn.paragraphs import lines
from memunlearn.paragraphs.readers import check_file, read_paragraphs

P, C = 5, 5
IDS = torch.arange(30).reshape(3, 10)
FLOATS = IDS.float()
TEXT = tiny_tokenizers.words(0, 40)

TENSORS = {
    "conjugate": FLOATS.to(torch.complex64).conj(),
    "negative bit": (IDS + 1)._neg_view(),
    "imaginary part": torch.complex(FLOATS, FLOATS + 1).conj().imag,
    "meta": torch.zeros(3, 10, device="meta"),
    "quantized": torch.quantize_per_tensor(FLOATS, 1.0, 0, torch.qint8),
    "nested": torch.nested.nested_tensor([FLOATS[0], FLOATS[1]]),
    "jagged": torch.nested.nested_tensor([FLOATS[0], FLOATS[1]], layout=torch.jagged),
    "8 bit floats": FLOATS.to(torch.float8_e4m3fn),
    "4 bit floats": torch.zeros(3, 10, dtype=torch.uint8).view(torch.float4_e2m1fn_x2),
    "truth values": IDS > 3,
    "sparse": IDS.to_sparse(),
    "compressed rows": FLOATS.to_sparse_csr(),
    "no columns": torch.zeros(10**10, 0),
    "a scalar": torch.tensor(3),
    "a list": [IDS],
    "a state": torch.nn.Linear(2, 2).state_dict(),
    "nothing": None,
}

COLUMNS = {
    "dates out of range": pyarrow.array([2**30] * 3, pyarrow.date32()),
    "times out of range": pyarrow.array([2**62] * 3, pyarrow.timestamp("us")),
    "bytes": pyarrow.array([b"\xff" * 40] * 3),
    "objects": pyarrow.array([{"a": 1}] * 3),
    "maps": pyarrow.array([[(1, 2)]] * 3, pyarrow.map_(pyarrow.int32(), pyarrow.int32())),
    "lists of lists": pyarrow.array([[[1] * 10]] * 3),
    "lists of text": pyarrow.array([["a"] * 10] * 3),
    "lists of truth values": pyarrow.array([[True] * 10] * 3),
    "numbers": pyarrow.array([150] * 3),
    "nulls": pyarrow.array([None] * 3),
    "null among ids": pyarrow.array([[1, None] * 5] * 3),
    "no utf-8": pyarrow.Array.from_buffers(
        pyarrow.string(), 2, [None, pyarrow.py_buffer(struct.pack("<3i", 0, 5, 10)), pyarrow.py_buffer(b"\xff\xfe" * 5)]
    ),
}

LINES = {
    "deep lists": '{"ids": ' + "[" * 100_000 + "]" * 100_000 + "}",
    "deep objects": '{"ids": ' * 50_000,
    "half a surrogate pair": json.dumps({"text": "\ud800" + TEXT}),
    "a number of 5000 digits": '{"ids": [' + "1" * 5000 + "]}",
    "a huge number": json.dumps({"ids": [10**30] * 10}),
    "infinity": '{"ids": [1e999, 2, 3, 4, 5, 6, 7, 8, 9, 10]}',
    "a fraction": json.dumps({"ids": [1.5] * 10}),
    "a list in text": json.dumps({"text": TEXT}) + "\n" + json.dumps({"text": [TEXT, TEXT]}),
    "an object in text": json.dumps({"text": TEXT}) + "\n" + json.dumps({"text": {"role": TEXT}}),
    "a number in text": json.dumps({"text": TEXT}) + "\n" + json.dumps({"text": 12}),
    "truth in text": json.dumps({"text": TEXT}) + "\n" + json.dumps({"text": True}),
}


@pytest.fixture(scope="module")
def tokenizer():
    return tiny_tokenizers.byte_level()


def refused(path, tokenizer=None):
    with pytest.raises(UserError) as error:
        read_paragraphs(path, P, C, tokenizer=tokenizer)
    assert os.path.basename(path) in str(error.value) and "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize("kind", TENSORS)
def test_tensors_that_are_no_ids(kind, tmp_path):
    torch.save(TENSORS[kind], tmp_path / "odd.pt")
    refused(tmp_path / "odd.pt")


@pytest.mark.parametrize("kind", COLUMNS)
def test_columns_that_are_neither_text_nor_ids(kind, tmp_path, tokenizer):
    pyarrow.parquet.write_table(pyarrow.table({"text": COLUMNS[kind]}), tmp_path / "odd.parquet")
    refused(tmp_path / "odd.parquet", tokenizer)


@pytest.mark.parametrize("kind", LINES)
def test_lines_that_are_neither_text_nor_ids(kind, tmp_path, tokenizer):
    (tmp_path / "odd.jsonl").write_text(LINES[kind])
    line = refused(tmp_path / "odd.jsonl", tokenizer)
    if "in text" in kind:
        assert "odd.jsonl:1 (line 2): column 'text' holds" in line


def test_messages_about_rows_name_what_is_wrong(tmp_path, tokenizer):
    pyarrow.parquet.write_table(pyarrow.table({"ids": COLUMNS["null among ids"]}), tmp_path / "null.parquet")
    assert "null.parquet:0: column 'ids' has a null (a missing value) at position 1" in refused(tmp_path / "null.parquet")
    pyarrow.parquet.write_table(pyarrow.table({"tokens": [150], "text": [TEXT]}), tmp_path / "count.parquet")
    assert "set paragraphs.column to one of: text" in refused(tmp_path / "count.parquet", tokenizer)
    good = json.dumps({"text": TEXT})
    (tmp_path / "broken.jsonl").write_text("\n".join([good] * 4 + [good[:-20]]))
    assert "broken.jsonl: line 5 is not JSON" in refused(tmp_path / "broken.jsonl", tokenizer)
    (tmp_path / "count.jsonl").write_text(json.dumps({"tokens": 150, "text": TEXT}))
    line = refused(tmp_path / "count.jsonl", tokenizer)
    assert "count.jsonl:0 (line 1)" in line and "paragraphs.column to one of: text" in line


def test_two_columns_of_one_name_are_refused(tmp_path, tokenizer):
    (tmp_path / "twice.csv").write_text(f"text,text\n{TEXT},{TEXT}\n")
    assert "2 columns named 'text'" in refused(tmp_path / "twice.csv", tokenizer)


def test_what_is_no_file(tmp_path):
    os.mkfifo(tmp_path / "pipe.jsonl")
    assert "is a pipe or a device" in refused(tmp_path / "pipe.jsonl")
    (tmp_path / "loop.pt").symlink_to(tmp_path / "loop.pt")
    assert "no such file" in refused(tmp_path / "loop.pt")
    assert "no such file" in refused("a\0b.pt")
    assert "no home folder" in refused("~nobodyhere/x.pt")


def test_the_home_folder_is_found(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    torch.save(IDS, tmp_path / "a.pt")
    assert torch.equal(read_paragraphs("~/a.pt", P, C).paragraphs.ids, IDS)


@pytest.mark.parametrize("name", ["0", "007", "1e3"])
def test_columns_may_be_called_by_numbers(name, tmp_path):
    (tmp_path / "a.csv").write_text(f"{name},b\n1 2 3 4 5 6 7 8 9 10,x\n")
    wanted = 0 if name == "0" else name
    assert read_paragraphs(tmp_path / "a.csv", P, C, column=wanted).paragraphs.ids.tolist() == [list(range(1, 11))]


def header(shape):
    text = f"{{'descr': '<i8', 'fortran_order': False, 'shape': {shape}, }}"
    text += " " * (63 - (len(text) + 10) % 64) + "\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text.encode()


def test_arrays_that_claim_more_than_they_hold(tmp_path):
    torch.save(torch.zeros(1, dtype=torch.int64).expand(10**10, 10), tmp_path / "expanded.pt")
    assert "tensor.clone()" in refused(tmp_path / "expanded.pt")
    torch.save(torch.zeros(1, dtype=torch.int64).expand(3, 10).clone(), tmp_path / "cloned.pt")
    assert len(read_paragraphs(tmp_path / "cloned.pt", P, C).paragraphs) == 3
    for shape, said in (((10**10, 0), "0 tokens"), ((10**10, 10), "was cut short"), ((-1, 10), "was cut short")):
        (tmp_path / "claims.npy").write_bytes(header(shape))
        for read in (refused, lambda path: str(pytest.raises(UserError, check_file, path, P, C).value)):
            assert said in read(tmp_path / "claims.npy")


def test_archives_that_unpack_to_more_are_not_unpacked(tmp_path):
    torch.save(torch.zeros(20_000, 10, dtype=torch.int64), tmp_path / "plain.pt")
    with (
        zipfile.ZipFile(tmp_path / "plain.pt") as plain,
        zipfile.ZipFile(tmp_path / "packed.pt", "w", zipfile.ZIP_DEFLATED) as packed,
    ):
        for part in plain.infolist():
            packed.writestr(part.filename, plain.read(part))
    assert "unpack to" in refused(tmp_path / "packed.pt")


def test_parquet_that_claims_more_than_it_can_hold(tmp_path):
    zeros = np.zeros(11_000_000, np.int8)
    lists = pyarrow.LargeListArray.from_arrays(pyarrow.array(np.array([0, len(zeros)])), pyarrow.array(zeros))
    pyarrow.parquet.write_table(pyarrow.table({"ids": lists}), tmp_path / "values.parquet", compression="zstd")
    assert "11,000,000 values" in refused(tmp_path / "values.parquet")
    rows = pyarrow.FixedSizeListArray.from_arrays(pyarrow.array(zeros[:1_500_000]), 10)
    pyarrow.parquet.write_table(pyarrow.table({"ids": rows}), tmp_path / "rows.parquet", compression="zstd")
    assert "150,000 rows" in refused(tmp_path / "rows.parquet")


@pytest.mark.parametrize("name", ["long.csv", "long.jsonl"])
def test_a_line_that_never_ends_is_refused(name, tmp_path, monkeypatch, tokenizer):
    monkeypatch.setattr(lines, "LONGEST_LINE", 1000)
    (tmp_path / name).write_text("text\n" + "x" * 2000 if name.endswith("csv") else json.dumps({"text": "x" * 2000}))
    assert "is longer than 1,000 characters" in refused(tmp_path / name, tokenizer)


def damaged(content: bytes, drawn: random.Random) -> bytes:
    """Some bytes changed, cut, doubled, moved, or numbers in it made large; now and then as it is."""
    data = bytearray(content)
    how = drawn.random()
    place = drawn.randrange(max(1, len(data)))
    if how < 0.4:
        for _ in range(drawn.choice([1, 2, 5, 20])):
            data[drawn.randrange(len(data))] = drawn.choice([0, 255, drawn.randrange(256)])
    elif how < 0.5:
        data = data[:place]
    elif how < 0.6:
        data[place : place + 8] = struct.pack("<q", drawn.choice([2**31 - 1, 2**62, -1, 10**10]))
    elif how < 0.7:
        data = data[:place] + data[drawn.randrange(len(data)) :]
    elif how < 0.8:
        data[-drawn.randrange(1, min(200, len(data)))] = drawn.randrange(256)
    elif how < 0.85:
        data = data.replace(b"text", b"ids").replace(b"1", b"-1e99")
    elif how < 0.9:
        data = bytearray(bytes(data).decode("latin-1").encode("utf-16"))
    elif how < 0.95:
        data = bytearray(b"\xef\xbb\xbf") + data + data
    return bytes(data)


def healthy(suffix: str, drawn: random.Random) -> bytes:
    file = io.BytesIO()
    if suffix == ".pt":
        torch.save(drawn.choice([IDS, FLOATS, IDS.T, {"ids": IDS}]), file, _use_new_zipfile_serialization=drawn.random() < 0.6)
    elif suffix == ".npy":
        np.save(file, drawn.choice([IDS.numpy(), FLOATS.numpy(), IDS.numpy().astype(">i2"), IDS.numpy() > 3]))
    elif suffix == ".csv":
        file.write(f'id,text\n1,{TEXT}\n2,"{TEXT}"\n'.encode())
    elif suffix == ".jsonl":
        row = drawn.choice([{"text": TEXT}, {"ids": IDS[0].tolist()}, {"x": 1, "text": None}])
        file.write((json.dumps(row) + "\n").encode() * 3)
    else:
        column = drawn.choice([pyarrow.array([TEXT] * 3), pyarrow.array(IDS.tolist()), pyarrow.array([None, TEXT])])
        packing = {"compression": drawn.choice(["snappy", "zstd", "none"]), "use_dictionary": drawn.random() < 0.5}
        pyarrow.parquet.write_table(pyarrow.table({drawn.choice(["ids", "text", "a.b"]): column}), file, **packing)
    return file.getvalue()


@pytest.mark.parametrize("suffix", [".pt", ".npy", ".csv", ".jsonl", ".parquet"])
def test_damaged_files_are_read_or_refused_in_one_line(suffix, tmp_path, tokenizer):
    drawn = random.Random(suffix)
    path = tmp_path / f"fuzzed{suffix}"
    outcomes = {True: 0, False: 0}
    for _ in range(150):
        path.write_bytes(damaged(healthy(suffix, drawn), drawn))
        try:
            check_file(path, P, C)
            read_paragraphs(path, P, C, tokenizer=tokenizer)
            outcomes[True] += 1
        except UserError as error:
            assert "\n" not in str(error) and "fuzzed" in str(error)
            outcomes[False] += 1
    assert min(outcomes.values()) > 5
