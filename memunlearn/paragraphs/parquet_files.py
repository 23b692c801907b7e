"""One column of a parquet file, a row at a time.

A few bytes of parquet can claim any number of rows, values and characters, so what its footer says is held against its size.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from memunlearn.errors import UserError, is_out_of_memory, reason_of
from memunlearn.paragraphs.columns import LONGEST_LINE, Column, Row, another_column, choose_column
from memunlearn.paragraphs.unpacking import MOST_PACKED, SMALL_BYTES, open_bytes, packing_of

MOST_VALUES = 50
SMALL_VALUES = 10_000_000
SMALL_ROWS = 100_000
_BATCH_BYTES = 1 << 24
_SCANNED_VALUES = 1 << 14
_BUFFER_BYTES = 1 << 20
# Of a value beside the text: more than the characters that are kept of it.
_BEGINNING_BYTES = 1 << 13


def parquet_column(path: Path, where: str, wanted: str | None) -> Column:
    """A column of text, or of lists of numbers. Raises UserError for other types, and while it is read for damage."""
    with _opened(path) as file:
        schema = file.schema_arrow
        names = tuple(schema.names)
        name = choose_column(names, wanted, path.name)
        is_text = _is_text(path, schema.field(schema.get_field_index(name)).type, name, names)
        # What the others say belongs to texts; rows of ids are called by their number.
        others = [field.name for field in schema if field.name != name and _is_scalar(field.type)] if is_text else []
        others = [other for other in others if names.count(other) == 1]
        leaves = [leaf for leaf in range(len(file.schema)) if _belongs(file.schema.column(leaf).path, [name, *others])]
        # Damaged descriptions of a column end the process when Python asks for them; the reader itself finds them first.
        file.scan_contents([name, *others], batch_size=_SCANNED_VALUES)
        batch = _check_size(path, file.metadata, leaves, [name, *others])

    def rows() -> Iterator[Row]:
        return _rows(path, name, others, batch, is_text)

    return Column(where=where, name=name, names=names, rows=rows)


@contextmanager
def _opened(path: Path, dictionaries: list[str] | None = None) -> Iterator[Any]:
    """The file; one that is packed is unpacked to the side, since parquet is read from its end."""
    import pyarrow.parquet

    with _Reading(path), ExitStack() as stack:
        source: Any = path
        if packing_of(path) is not None:
            source = stack.enter_context(tempfile.TemporaryFile())
            shutil.copyfileobj(stack.enter_context(open_bytes(path)), source)
        yield stack.enter_context(
            pyarrow.parquet.ParquetFile(source, read_dictionary=dictionaries, buffer_size=_BUFFER_BYTES, pre_buffer=False)
        )


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
        raise UserError(f"{self.path}: is not a parquet file that can be read ({reason_of(error)}): write it again") from error


def _is_scalar(kind: Any) -> bool:
    from pyarrow import types

    if types.is_dictionary(kind):
        kind = kind.value_type
    text = (types.is_string, types.is_large_string, types.is_string_view)
    others = (types.is_integer, types.is_floating, types.is_decimal, types.is_boolean, types.is_date, types.is_timestamp)
    return any(holds(kind) for holds in (*text, *others))


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


def _belongs(leaf: str, names: list[str]) -> bool:
    return any(leaf == name or leaf.startswith(f"{name}.") for name in names)


def _check_size(path: Path, metadata: Any, leaves: list[int], names: list[str]) -> int:
    """How many rows to read at once. Raises UserError where the file claims more than one of its size can honestly hold."""
    size = os.path.getsize(path)
    groups = [metadata.row_group(group) for group in range(metadata.num_row_groups)]
    own = [group.column(leaf) for group in groups for leaf in leaves]
    unpacked = sum(chunk.total_uncompressed_size for chunk in own)
    values = sum(chunk.num_values for chunk in own)
    rows = metadata.num_rows
    if (
        unpacked > max(SMALL_BYTES, MOST_PACKED * size)
        or values > max(SMALL_VALUES, MOST_VALUES * size) * len(names)
        or rows > max(SMALL_ROWS, MOST_VALUES * size)
    ):
        raise UserError(
            f"{path}: has {size:,} bytes and says that they hold {rows:,} rows, {values:,} values, {unpacked:,} bytes in "
            f"column {names[0]!r}{' and others' if names[1:] else ''}: no paragraphs pack like that; write it again without "
            "compression"
        )
    each: int = max(unpacked, 8 * values) // max(1, rows)
    return max(1, min(1024, _BATCH_BYTES // max(1, each)))


def _rows(path: Path, name: str, others: list[str], batch: int, is_text: bool) -> Iterator[Row]:
    # Repeated texts stay references to one copy, and a row group is not read whole.
    with _opened(path, [name] if is_text else None) as file:
        position = 0
        for part in file.iter_batches(batch_size=batch, columns=[name, *others], use_threads=False):
            besides = {other: part.column(part.schema.get_field_index(other)) for other in others}
            for row, scalar in enumerate(part.column(part.schema.get_field_index(name))):
                value = _text(path, scalar, position) if is_text else _numbers(scalar)
                yield Row(None, value, {other: _beginning(column[row]) for other, column in besides.items()})
                position += 1


def _text(path: Path, scalar: Any, position: int) -> str | None:
    import pyarrow

    text = scalar.value if isinstance(scalar, pyarrow.DictionaryScalar) else scalar
    if not text.is_valid:
        return None
    if len(text.as_buffer()) > LONGEST_LINE:
        raise UserError(f"{path.name}:{position}: is longer than {LONGEST_LINE:,} bytes: write one paragraph or document a row")
    try:
        read: str = text.as_py()
        return read
    except UnicodeDecodeError as error:
        raise UserError(f"{path.name}:{position}: is not text in UTF-8 ({error}): write the file again") from error


def _beginning(scalar: Any) -> object:
    """A value of a column beside the text, only the beginning of a long one."""
    import pyarrow

    value = scalar.value if isinstance(scalar, pyarrow.DictionaryScalar) else scalar
    if not value.is_valid:
        return None
    if hasattr(value, "as_buffer"):
        return bytes(memoryview(value.as_buffer())[:_BEGINNING_BYTES]).decode("utf-8", "replace")
    kind = value.type
    simple = pyarrow.types.is_integer(kind) or pyarrow.types.is_floating(kind) or pyarrow.types.is_boolean(kind)
    return value.as_py() if simple else value.cast(pyarrow.string()).as_py()


def _numbers(scalar: Any) -> object:
    """A list of ids as an array; with nulls as a list, so that they can be named."""
    if not scalar.is_valid or not hasattr(scalar, "values"):
        return None
    return scalar.values.to_pylist() if scalar.values.null_count else scalar.values.to_numpy(zero_copy_only=False)
