"""One column of a parquet file, a row at a time.

A few bytes of parquet can claim any number of rows, values and characters, so what its footer says is held against its size.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from memunlearn.errors import UserError, is_out_of_memory
from memunlearn.paragraphs.columns import LONGEST_LINE, Column, Value, another_column, choose_column

# Real text packs to a tenth and padded rows of ids to a fiftieth; small files may be as repetitive as they like.
MOST_PACKED = 200
SMALL_BYTES = 1 << 28
MOST_VALUES = 50
SMALL_VALUES = 10_000_000
SMALL_ROWS = 100_000
_BATCH_BYTES = 1 << 24
_SCANNED_VALUES = 1 << 14
_BUFFER_BYTES = 1 << 20


def parquet_column(path: Path, wanted: str | None) -> Column:
    """A column of text, or of lists of numbers. Raises UserError for other types, and while it is read for damage."""
    import pyarrow.parquet

    with _Reading(path), pyarrow.parquet.ParquetFile(path, buffer_size=_BUFFER_BYTES, pre_buffer=False) as file:
        schema, metadata = file.schema_arrow, file.metadata
        names = tuple(schema.names)
        name = choose_column(names, wanted, path.name)
        place = schema.get_field_index(name)
        is_text = _is_text(path, schema.field(place).type, name, names)
        leaves = [leaf for leaf in range(len(file.schema)) if _belongs(file.schema.column(leaf).path, name)]
        # Damaged descriptions of a column end the process when Python asks for them; the reader itself finds them first.
        file.scan_contents([name], batch_size=_SCANNED_VALUES)
        batch = _check_size(path, metadata, leaves, name)

    def values() -> Iterator[Value]:
        return _values(path, name, batch, is_text)

    return Column(name, names, values)


class _Reading:
    """Errors of pyarrow within it are said in one line."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if not isinstance(error, Exception) or isinstance(error, UserError):
            return
        if is_out_of_memory(error):
            raise UserError(f"{self.path}: takes more memory to read than there is: write it in smaller row groups") from error
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
        raise UserError(f"{self.path}: is not a parquet file that can be read ({reason}): write it again") from error


def _is_text(path: Path, kind: Any, name: str, names: tuple[str, ...]) -> bool:
    """Whether the column is text; raises UserError if it is neither that nor lists of numbers."""
    from pyarrow import types

    if types.is_dictionary(kind):
        kind = kind.value_type
    if types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind):
        return True
    if types.is_null(kind):
        return False
    lists = types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind)
    if lists and (types.is_integer(kind.value_type) or types.is_floating(kind.value_type) or types.is_null(kind.value_type)):
        return False
    raise UserError(
        f"{path}: column {name!r} holds {str(kind)[:60]}, neither text nor lists of token ids: {another_column(name, names)}"
    )


def _belongs(leaf: str, name: str) -> bool:
    return leaf == name or leaf.startswith(f"{name}.")


def _check_size(path: Path, metadata: Any, leaves: list[int], name: str) -> int:
    """How many rows to read at once. Raises UserError where the file claims more than one of its size can honestly hold."""
    size = os.path.getsize(path)
    groups = [metadata.row_group(group) for group in range(metadata.num_row_groups)]
    own = [group.column(leaf) for group in groups for leaf in leaves]
    unpacked = sum(chunk.total_uncompressed_size for chunk in own)
    values = sum(chunk.num_values for chunk in own)
    rows = metadata.num_rows
    if (
        unpacked > max(SMALL_BYTES, MOST_PACKED * size)
        or values > max(SMALL_VALUES, MOST_VALUES * size)
        or rows > max(SMALL_ROWS, MOST_VALUES * size)
    ):
        raise UserError(
            f"{path}: has {size:,} bytes and says that they hold {rows:,} rows, {values:,} values, {unpacked:,} bytes in "
            f"column {name!r}: no paragraphs pack like that; write it again without compression"
        )
    each: int = max(unpacked, 8 * values) // max(1, rows)
    return max(1, min(1024, _BATCH_BYTES // max(1, each)))


def _values(path: Path, name: str, batch: int, is_text: bool) -> Iterator[Value]:
    import pyarrow.parquet

    with (
        _Reading(path),
        # Repeated texts stay references to one copy, and a row group is not read whole.
        pyarrow.parquet.ParquetFile(
            path, read_dictionary=[name] if is_text else None, buffer_size=_BUFFER_BYTES, pre_buffer=False
        ) as file,
    ):
        row = 0
        for part in file.iter_batches(batch_size=batch, columns=[name], use_threads=False):
            for scalar in part.column(0):
                yield None, _text(path, scalar, row) if is_text else _numbers(scalar)
                row += 1


def _text(path: Path, scalar: Any, row: int) -> str | None:
    import pyarrow

    text = scalar.value if isinstance(scalar, pyarrow.DictionaryScalar) else scalar
    if not text.is_valid:
        return None
    if len(text.as_buffer()) > LONGEST_LINE:
        raise UserError(f"{path.name}:{row}: is longer than {LONGEST_LINE:,} bytes: write one paragraph or document a row")
    try:
        read: str = text.as_py()
        return read
    except UnicodeDecodeError as error:
        raise UserError(f"{path.name}:{row}: is not text in UTF-8 ({error}): write the file again") from error


def _numbers(scalar: Any) -> object:
    """A list of ids as an array; with nulls as a list, so that they can be named."""
    if not scalar.is_valid or not hasattr(scalar, "values"):
        return None
    return scalar.values.to_pylist() if scalar.values.null_count else scalar.values.to_numpy(zero_copy_only=False)
