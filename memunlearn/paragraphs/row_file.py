"""rows.safetensors: the ids of every row of a run by role. Its patch holds only their hashes."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from memunlearn.errors import UserError
from memunlearn.files.writing import replacing
from memunlearn.paragraphs.paragraph_set import ParagraphSet, concatenate
from memunlearn.paragraphs.places import Place
from memunlearn.paragraphs.splits import ROLE_NAMES

ROWS = "rows.safetensors"
ALTERNATIVE = "alternative"


@dataclass(frozen=True)
class RowFile:
    """What the file holds, roles aside: those are the patch's to say.

    paragraphs: every row. bins: the EM bin of each where the source has fixed it (pile), else none. self_generated: as in
    `LoadedParagraphs`. alternatives: [m, I] ids of prefixes with the alternatives of an edit.
    """

    paragraphs: ParagraphSet
    bins: tuple[str, ...]
    self_generated: bool
    alternatives: Tensor


def write_rows(
    path: Path,
    sets: Mapping[str, ParagraphSet],
    alternatives: Tensor | None = None,
    bins: Mapping[str, Sequence[str]] | None = None,
    self_generated: bool = False,
) -> None:
    """Writes int64 [n, I] under the name of each set, and [m, I] under `alternative`, whole or not at all.

    bins: by set name, for sources that fix them. Raises UserError if the file cannot be written.
    """
    tensors = {name: members.ids.contiguous() for name, members in sets.items()}
    if alternatives is not None:
        tensors[ALTERNATIVE] = alternatives.contiguous()
    metadata = {
        "prefix_length": str(next(iter(sets.values())).prefix_length),
        "origin": json.dumps({name: members.origin for name, members in sets.items()}),
        "bins": json.dumps(bins),
        "self_generated": json.dumps(self_generated),
    }
    if any(members.places for members in sets.values()):
        of_sets = {name: members.places or (None,) * len(members) for name, members in sets.items()}
        metadata["places"] = json.dumps(
            {name: [place and asdict(place) for place in of_set] for name, of_set in of_sets.items()}
        )
    try:
        with replacing(path) as unfinished:
            save_file(tensors, unfinished, metadata)
    except (OSError, SafetensorError) as error:
        raise UserError(f"cannot write {path}: {error}; choose a writable folder with room for it") from error


def read_rows(path: Path, prefix_length: int) -> RowFile:
    """Raises UserError where the file is not a whole one of `write_rows`, or leaves this prefix no continuation."""
    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}
        origin, bins = json.loads(metadata.get("origin", "{}")), json.loads(metadata.get("bins", "null"))
        self_generated = json.loads(metadata.get("self_generated", "false")) is True
        places = json.loads(metadata.get("places", "{}"))
    except (OSError, SafetensorError, ValueError, RecursionError) as error:
        raise UserError(f"{path} cannot be read ({error}): copy it again from the run") from error
    names = [name for name in ROLE_NAMES if name in tensors]
    widths = {tensor.shape[1:] for tensor in tensors.values()}
    if not names or len(widths) != 1 or any(t.ndim != 2 or t.dtype != torch.int64 for t in tensors.values()):
        raise UserError(f"{path} is not a run's {ROWS}: it must hold int64 [rows, tokens] by role, all as wide")
    sets = [
        ParagraphSet(
            tensors[name],
            prefix_length,
            _labels(origin, name, len(tensors[name]), path),
            places=_places(places, name, len(tensors[name]), path),
        )
        for name in names
    ]
    fixed = [label for name in names for label in _labels(bins, name, len(tensors[name]), path)] if bins else []
    alternatives = tensors.get(ALTERNATIVE, torch.empty(0, *widths.pop(), dtype=torch.int64))
    return RowFile(concatenate(sets), tuple(fixed), self_generated, alternatives)


def _places(by_name: object, name: str, count: int, path: Path) -> tuple[Place | None, ...]:
    """Where rows stand in their texts; none of a file that was written without."""
    given = by_name.get(name) if isinstance(by_name, Mapping) else None
    if given is None:
        return ()
    try:
        places = tuple(place and Place(**place) for place in given)
    except TypeError as error:
        raise UserError(f"{path} cannot be read (places of rows of {name}: {error}): copy it again from the run") from error
    if len(places) != count:
        raise UserError(f"{path} does not say of each row of {name} where it stands in its text: copy it again from the run")
    return places


def _labels(by_name: object, name: str, count: int, path: Path) -> tuple[str, ...]:
    members = by_name.get(name) if isinstance(by_name, Mapping) else None
    if not isinstance(members, list) or len(members) != count or not all(isinstance(member, str) for member in members):
        raise UserError(f"{path} does not say of each row of {name} where it came from: copy it again from the run")
    return tuple(members)
