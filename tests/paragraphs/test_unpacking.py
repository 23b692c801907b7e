"""gzip and Zstandard: what comes out is what went in, damage is named, and bombs go no further than their fuse."""

from __future__ import annotations

import gzip
import random
import resource
import sys
import tracemalloc
import zlib

import packing
import pytest
import zstandard

from memunlearn.errors import UserError
from memunlearn.paragraphs import unpacking
from memunlearn.paragraphs.readers import check_file, read_paragraphs
from memunlearn.paragraphs.unpacking import open_bytes, open_text

CONTENT = ("".join(random.Random(0).choices("abcdefgh ", k=300_000)) + "a" * 500_000 + "ü\r\n").encode()
PACKED = [".gz", ".zst"]


def unpack(path):
    with open_bytes(path) as file:
        return file.read()


def refused(path):
    with pytest.raises(UserError) as error:
        check_file(path, 3, 2)
        unpack(path)
    assert str(path) in str(error.value) and "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize("packed", ["", *PACKED])
def test_bytes_come_back_in_pieces_of_any_size(tmp_path, packed):
    path = packing.write(tmp_path / "a.txt", CONTENT, packed)
    drawn = random.Random(1)
    parts = []
    with open_bytes(path) as file:
        while part := file.read(drawn.randrange(1, 100_000)):
            parts.append(part)
    assert b"".join(parts) == CONTENT


@pytest.mark.parametrize("packed", PACKED)
def test_several_packed_parts_in_one_file_follow_each_other(tmp_path, packed):
    pack = packing.PACKERS[packed]
    (tmp_path / f"a.txt{packed}").write_bytes(pack(b"one ") + pack(b"") + pack(CONTENT))
    assert unpack(tmp_path / f"a.txt{packed}") == b"one " + CONTENT


def test_gzip_may_end_in_zeros_and_zstandard_may_be_a_stream_with_frames_to_be_skipped(tmp_path):
    (tmp_path / "a.txt.gz").write_bytes(gzip.compress(b"text") + b"\0" * 5000)
    assert unpack(tmp_path / "a.txt.gz") == b"text"
    stream = zstandard.ZstdCompressor(write_checksum=True).compressobj()  # which does not know its length beforehand
    skipped = b"\x50\x2a\x4d\x18" + (3).to_bytes(4, "little") + b"abc"
    (tmp_path / "a.txt.zst").write_bytes(skipped + stream.compress(CONTENT) + stream.flush())
    assert unpack(tmp_path / "a.txt.zst") == CONTENT


@pytest.mark.parametrize("packed", PACKED)
def test_damage_is_named(tmp_path, packed):
    path = packing.write(tmp_path / "a.txt", CONTENT, packed)
    whole = path.read_bytes()
    for end in (0.3, 0.9, 0.9999):
        path.write_bytes(whole[: int(len(whole) * end)])
        assert "was cut short" in refused(path)
    path.write_bytes(whole[:1000] + b"\xff" * 50 + whole[1050:])
    if packed == ".gz":
        refused(path)
    path.write_bytes(whole + b"more that is not packed")
    assert "is damaged" in refused(path)
    path.write_bytes(b"plain text")
    assert f"is not a {'gzip' if packed == '.gz' else 'Zstandard'} file" in refused(path)
    path.write_bytes(b"")
    assert "is empty" in refused(path)


def bomb(path, packed, size):
    """A small file that unpacks to this many zeros."""
    piece = b"\0" * (1 << 20)
    if packed == ".gz":
        packer, flush = zlib.compressobj(9, wbits=31), zlib.Z_FINISH
        content = b"".join(packer.compress(piece) for _ in range(size >> 20)) + packer.flush(flush)
    else:
        stream = zstandard.ZstdCompressor(level=1).compressobj()
        content = b"".join(stream.compress(piece) for _ in range(size >> 20)) + stream.flush()
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("packed", PACKED)
@pytest.mark.parametrize("kind", [".txt", ".csv", ".jsonl", ".json", ".parquet"])
def test_a_bomb_is_refused_without_its_memory(tmp_path, kind, packed):
    path = bomb(tmp_path / f"bomb{kind}{packed}", packed, 1 << 29)
    assert path.stat().st_size < 1 << 20
    tracemalloc.start()
    with pytest.raises(UserError) as error:
        check_file(path, 3, 2)
        read_paragraphs(path, 3, 2, tokenizer=lambda *_, **__: None)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert "bomb" in str(error.value) and peak < 600 << 20
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss < 8 << 20  # KiB


@pytest.mark.parametrize("packed", PACKED)
def test_more_than_the_bound_is_refused_and_the_bound_itself_is_read(tmp_path, packed, monkeypatch):
    monkeypatch.setattr(unpacking, "SMALL_BYTES", 1 << 20)
    assert len(unpack(bomb(tmp_path / f"a.txt{packed}", packed, 1 << 20))) == 1 << 20
    path = bomb(tmp_path / f"b.txt{packed}", packed, 5 << 20)
    with pytest.raises(UserError, match="bytes that unpack to more than 1,0"):
        unpack(path)


def test_zstandard_that_is_not_installed_is_said_before_anything_is_read(tmp_path, monkeypatch):
    path = packing.write(tmp_path / "a.txt", "text", ".zst")
    monkeypatch.setitem(sys.modules, "zstandard", None)
    with pytest.raises(UserError, match=r"pip install 'memunlearn\[zstd\]'"):
        check_file(path, 3, 2)


@pytest.mark.parametrize("packed", ["", *PACKED])
def test_text_is_as_it_stands(tmp_path, packed):
    path = packing.write(tmp_path / "a.txt", b"\xef\xbb\xbf" + "a\r\nb\rc\n\u2028🎈".encode(), packed)
    with open_text(path) as file:
        assert file.read() == "a\r\nb\rc\n\u2028🎈"
