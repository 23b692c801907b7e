"""From what a user gave, a file, a folder or a list of them, to the files to be read, in order."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path, PurePath

from memunlearn.errors import UserError
from memunlearn.paragraphs.unpacking import check_packing, packing_of
from memunlearn.paths import expanded

ARRAYS = (".pt", ".npy")
WHOLE_TEXTS = (".txt", ".md")
"""One text a file."""
TABLES = (".csv", ".tsv", ".jsonl", ".json", ".parquet")
SUFFIXES = (*ARRAYS, *TABLES, *WHOLE_TEXTS)

Paths = str | PathLike[str] | Sequence[str | PathLike[str]]
"""A file, a folder (all files in it that can be read), or a list of them, which add up."""


@dataclass(frozen=True)
class GivenFile:
    """path: where it lies. name: what its rows are called by, its path within the folder that was given, or its own name."""

    path: Path
    name: str

    @property
    def kind(self) -> str:
        """One of SUFFIXES."""
        kind = kind_of(self.path)
        assert kind is not None
        return kind


@dataclass(frozen=True)
class GivenFiles:
    """files: to be read, in order. left_out: names of what lies in a folder and is not read, and of what was given twice."""

    files: tuple[GivenFile, ...]
    left_out: tuple[str, ...]


def kind_of(path: Path) -> str | None:
    """The suffix that says what is in a file, without that of its packing; None for what cannot be read."""
    packed = packing_of(path) is not None
    kind = Path(path.stem).suffix.lower() if packed else path.suffix.lower()
    return kind if kind in SUFFIXES and not (packed and kind in ARRAYS) else None


def given_files(given: Paths) -> GivenFiles:
    """The files that these paths name; those of a folder by name, all the way down, without hidden ones.

    Files of the same name are called by as much of their folders as tells them apart.
    Raises UserError for paths that are not there, that are empty, that no reader knows or that are not packed as they say.
    """
    parts = [given] if isinstance(given, str | PathLike) or not isinstance(given, Sequence) else list(given)
    if not parts:
        raise UserError("a list of files is empty: give at least one file or folder, or leave it out (null)")
    chosen: list[tuple[Path, int]] = []
    left_out: list[str] = []
    for part in parts:
        path = expanded(part)
        if _is_folder(path):
            found = list(_readable(path, left_out))
            if not found:
                raise UserError(f"{path}: holds no file that can be read: give a folder with {', '.join(SUFFIXES)} files")
            chosen += [(file, len(file.relative_to(path).parts)) for file in found]
        else:
            chosen.append((_known(existing_file(path)), 1))
    files: dict[str, tuple[Path, int]] = {}
    for file, depth in chosen:
        check_packing(file)
        if (real := os.path.realpath(file)) in files:
            left_out.append(f"{file.name} (given twice)")
        else:
            files[real] = (file, depth)
    return GivenFiles(_called(list(files.values())), tuple(left_out))


def existing_file(path: str | PathLike[str], suffixes: Sequence[str] | None = None, what: str = "paragraphs") -> Path:
    """The path of a file that is there, is not empty and has one of these suffixes (None: any). Raises UserError if not."""
    file = expanded(path)
    try:
        if file.is_dir():
            raise UserError(f"{file}: is a folder: give a file of {what}")
        if not file.is_file():
            if file.exists():
                raise UserError(f"{file}: is a pipe or a device: write {what} to a file and give that")
            raise UserError(f"{file}: no such file: check the path (relative paths start at {Path.cwd()})")
        if suffixes is not None and file.suffix not in suffixes:
            raise UserError(f"{file}: cannot tell what it is: its name must end in one of {', '.join(suffixes)}")
        with file.open("rb") as opened:
            empty = not opened.read(1)
    except OSError as error:
        raise UserError(f"{file}: cannot be read ({error.strerror}): check the path and its permissions") from error
    if empty:
        raise UserError(f"{file}: is empty: write it again, or give another file")
    return file


def names_in_short(names: Sequence[str], count: int | None = None, most: int = 10) -> str:
    """The first names, and how many more there are; count: of all, where names are only the first of them."""
    more = (len(names) if count is None else count) - len(names[:most])
    return ", ".join(names[:most]) + (f" and {more} more" if more else "")


def paths_in_short(given: Paths | Mapping[str, str | PathLike[str]]) -> str:
    """The last part of each path that was given, only the first three of many."""
    several = given.values() if isinstance(given, Mapping) else given
    parts = [several] if isinstance(several, str | PathLike) or not isinstance(several, Iterable) else list(several)
    names = [Path(str(part)).name or str(part) for part in parts]
    return " + ".join(names) if len(names) < 4 else names_in_short(names, most=3)


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}): check the path and its permissions") from error


def _known(file: Path) -> Path:
    if kind_of(file) is not None:
        return file
    if packing_of(file) and Path(file.stem).suffix.lower() in ARRAYS:
        raise UserError(f"{file}: is packed: unpack it first; only texts and tables are read as they are packed")
    raise UserError(
        f"{file}: cannot tell what it is: its name must end in one of {', '.join(SUFFIXES)} (texts and tables also .gz, .zst)"
    )


def _readable(folder: Path, left_out: list[str]) -> Iterator[Path]:
    """Files in the folder that can be read, by name; others are added to left_out. A folder that a link leads back to is
    entered once."""

    def refuse(error: OSError) -> None:
        raise UserError(f"{error.filename}: cannot be read ({error.strerror}): check its permissions") from error

    entered: set[str] = set()
    paths: list[Path] = []
    for place, folders, files in os.walk(folder, followlinks=True, onerror=refuse):
        real = os.path.realpath(place)
        if real in entered:
            folders.clear()
            continue
        entered.add(real)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        paths += [Path(place, name) for name in files if not name.startswith(".")]
    for path in sorted(paths, key=lambda path: path.relative_to(folder).parts):
        if kind_of(path) is None:
            left_out.append(path.relative_to(folder).as_posix())
        elif path.is_file() and not path.stat().st_size:
            left_out.append(f"{path.relative_to(folder).as_posix()} (empty)")
        else:
            yield existing_file(path)


def _called(files: list[tuple[Path, int]]) -> tuple[GivenFile, ...]:
    """depth: how many of the last parts of its path a file is called by, at least."""
    paths = [PurePath(os.path.abspath(file)) for file, _ in files]
    depths = [depth for _, depth in files]
    while True:
        names = ["/".join(path.parts[-depth:]) for path, depth in zip(paths, depths, strict=True)]
        counts = Counter(names)
        if len(counts) == len(names):
            return tuple(GivenFile(file, name) for (file, _), name in zip(files, names, strict=True))
        depths = [depth + (counts[name] > 1) for depth, name in zip(depths, names, strict=True)]
