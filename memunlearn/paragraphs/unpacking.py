"""A file's bytes and its text, unpacked where it is gzip or Zstandard: a piece at a time, and never more than is honest.

A few bytes can unpack to any number, so what comes out is held against the file's size.
"""

from __future__ import annotations

import codecs
import io
import os
import sys
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, TextIO

from memunlearn.errors import UserError

PACKED = (".gz", ".zst")

MOST_PACKED = 200
"""Bytes that one byte of a file may unpack to: real text packs to a tenth, padded rows of ids to a fiftieth."""
SMALL_BYTES = 1 << 28
"""Up to so many bytes, what is unpacked may be as repetitive as it likes."""

_MAGIC = {
    ".gz": (b"\x1f\x8b",),
    ".zst": (b"\x28\xb5\x2f\xfd", *(bytes([kind]) + b"\x2a\x4d\x18" for kind in range(0x50, 0x60))),
}
_CALLED = {".gz": "gzip", ".zst": "Zstandard"}
# Four bytes of Zstandard can stand for 128 KiB, so that this many unpack to 32 MiB at most.
_PIECE = 1024


def packing_of(path: Path) -> str | None:
    """`.gz` or `.zst` where the name ends so, whatever its case."""
    suffix = path.suffix.lower()
    return suffix if suffix in PACKED else None


def check_packing(path: Path) -> None:
    """Raises UserError where the file is not what its suffix says, or what unpacks it is not installed."""
    if (packing := packing_of(path)) is None:
        return
    _unpacker(path, packing)
    with path.open("rb") as file:
        begins = file.read(4)
    if not begins.startswith(_MAGIC[packing]):
        raise UserError(f"{path}: is not a {_CALLED[packing]} file: give it the suffix of what it is, or pack it again")


def open_bytes(path: Path) -> BinaryIO:
    """What is in the file, unpacked. Raises UserError here for a library that is missing, and while it is read for damage and
    for more than MOST_PACKED bytes a byte (and SMALL_BYTES)."""
    if (packing := packing_of(path)) is None:
        return path.open("rb")
    return io.BufferedReader(_Pieces(_unpacked(path, packing)))


def open_text(path: Path) -> TextIO:
    """The same as text in UTF-8, line ends as they are, without the mark that may stand in front (BOM)."""
    return io.TextIOWrapper(open_bytes(path), encoding="utf-8-sig", newline="")


def not_utf8(path: Path) -> UserError:
    """What to say of a file that is not UTF-8: where that begins."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    place = 0
    with open_bytes(path) as file:
        while True:
            piece = file.read(1 << 16)
            held = len(decoder.getstate()[0])
            try:
                decoder.decode(piece, final=not piece)
            except UnicodeDecodeError as error:
                place += error.start - held
                break
            if not piece:
                break
            place += len(piece)
    unpacked = " of what it unpacks to" if packing_of(path) else ""
    return UserError(f"{path}: is not text in UTF-8: byte {place} (from 0){unpacked} does not fit: save it again in UTF-8")


class _Pieces(io.RawIOBase):
    """A stream of the bytes that an iterator gives."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self.pieces = pieces
        self.left = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self.left:
            piece = next(self.pieces, None)
            if piece is None:
                return 0
            self.left = memoryview(piece)
        into = memoryview(buffer).cast("B")
        count = min(len(into), len(self.left))
        into[:count] = self.left[:count]
        self.left = self.left[count:]
        return count


def _unpacked(path: Path, packing: str) -> Iterator[bytes]:
    """Both libraries speak alike: decompress, eof, unused_data."""
    begin = _unpacker(path, packing)
    most = max(SMALL_BYTES, MOST_PACKED * os.path.getsize(path))
    unpacker, count = begin(), 0
    try:
        with path.open("rb") as file:
            while data := file.read(_PIECE):
                while data:
                    if unpacker.eof:
                        if packing == ".gz" and not (data := data.lstrip(b"\0")):
                            break  # archives may end in zeros
                        unpacker = begin()
                    piece = unpacker.decompress(data)
                    count += len(piece)
                    if count > most:
                        raise UserError(
                            f"{path}: has {os.path.getsize(path):,} bytes that unpack to more than {most:,}: no text packs "
                            "like that; unpack it yourself if it is what you mean"
                        )
                    yield piece
                    data = unpacker.unused_data if unpacker.eof else b""
    except _errors() as error:
        raise UserError(f"{path}: is damaged ({error}): write it again") from error
    if not unpacker.eof:
        raise UserError(f"{path}: was cut short, or is damaged: write it again")


def _unpacker(path: Path, packing: str) -> Callable[[], Any]:
    if packing == ".gz":
        return lambda: zlib.decompressobj(wbits=31)
    if sys.version_info >= (3, 14):
        from compression.zstd import ZstdDecompressor

        return ZstdDecompressor
    try:
        from zstandard import ZstdDecompressor as Decompressor
    except ImportError as error:
        raise UserError(
            f"{path}: Zstandard needs a library: pip install 'memunlearn[zstd]' (or zstandard), or unpack it first"
        ) from error
    return lambda: Decompressor().decompressobj()


def _errors() -> tuple[type[Exception], ...]:
    """What the libraries raise for damage; Zstandard's only where it is in use."""
    if sys.version_info >= (3, 14):
        from compression.zstd import ZstdError

        return (zlib.error, ZstdError)
    module = sys.modules.get("zstandard")
    return (zlib.error, module.ZstdError) if module is not None else (zlib.error,)
