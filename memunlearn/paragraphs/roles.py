"""Which row played which role in a run, told by hashes: a patch can say it without holding text or ids."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from memunlearn.paragraphs.paragraph_set import ParagraphSet
from memunlearn.paragraphs.splits import ROLE_NAMES

# Sets of evaluate.py beside a run's roles: rows that it did not know, and rows that no model was shown.
UNKNOWN = "unknown"
UNSEEN = "unseen"
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Roles:
    """The rows of each set of a run, in its order.

    rows: by set name, the sha256 (hex) of each row's ids (`row_hashes`). clusters: by set name [n], as in the run's split.
    alternatives: for each forget row the hash of its prefix with its alternative, None where it has none; None without an edit.
    """

    rows: Mapping[str, tuple[str, ...]]
    clusters: Mapping[str, tuple[int, ...]]
    alternatives: tuple[str | None, ...] | None = None

    @property
    def hashes(self) -> frozenset[str]:
        """Of every row."""
        return frozenset(known for members in self.rows.values() for known in members)


def row_hashes(ids: Tensor) -> tuple[str, ...]:
    """For each row of ids [N, I] the sha256 (hex) over its ids as little-endian int64."""
    return tuple(hashlib.sha256(row.tobytes()).hexdigest() for row in ids.numpy().astype("<i8"))


def roles_of(members: Mapping[str, tuple[ParagraphSet, Tensor]], alternatives: Mapping[int, Tensor] | None = None) -> Roles:
    """members: by set name the rows and their cluster numbers [n]; empty sets are left out.

    alternatives: for an edit, by position in the forget set the ids [I] of the prefix with the alternative.
    """
    filled = {name: pair for name, pair in members.items() if len(pair[0])}
    hashes = None
    if alternatives is not None:
        positions = range(len(members["forget"][0]))
        hashes = tuple(row_hashes(alternatives[i].unsqueeze(0))[0] if i in alternatives else None for i in positions)
    return Roles(
        {name: row_hashes(paragraphs.ids) for name, (paragraphs, _) in filled.items()},
        {name: tuple(clusters.tolist()) for name, (_, clusters) in filled.items()},
        hashes,
    )


def as_metadata(roles: Roles) -> dict[str, str]:
    """As strings, for a safetensors file."""
    metadata = {"roles": json.dumps(roles.rows), "clusters": json.dumps(roles.clusters)}
    return metadata if roles.alternatives is None else {**metadata, "alternatives": json.dumps(roles.alternatives)}


def from_metadata(metadata: Mapping[str, str]) -> Roles | None:
    """None where there are no roles (an older file). Raises ValueError where they are not what `as_metadata` writes."""
    if "roles" not in metadata:
        return None
    try:
        rows = json.loads(metadata["roles"])
        clusters = json.loads(metadata.get("clusters", "null"))
        alternatives = json.loads(metadata.get("alternatives", "null"))
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    if not isinstance(rows, dict) or not rows or not set(rows) <= set(ROLE_NAMES):
        raise ValueError(f"not lists by role ({', '.join(ROLE_NAMES)})")
    if not isinstance(clusters, dict) or clusters.keys() != rows.keys():
        raise ValueError("roles and clusters do not name the same sets")
    for name, members in rows.items():
        if not _is_list(members, _is_hash) or not _is_list(clusters[name], _is_number) or len(members) != len(clusters[name]):
            raise ValueError(f"{name}: not as many hashes as cluster numbers")
    forget = rows.get("forget", [])
    if alternatives is not None:
        if not _is_list(alternatives, lambda value: value is None or _is_hash(value)) or len(alternatives) != len(forget):
            raise ValueError("not one alternative for each forget row")
        alternatives = tuple(alternatives)
    return Roles(
        {name: tuple(members) for name, members in rows.items()},
        {name: tuple(members) for name, members in clusters.items()},
        alternatives,
    )


def positions_of(hashes: Sequence[str], pool: Sequence[str]) -> list[int | None]:
    """For each hash its position in the pool, None where it is not there. Copies of a row are taken in turn."""
    places: dict[str, list[int]] = {}
    for position, known in enumerate(pool):
        places.setdefault(known, []).append(position)
    taken: dict[str, int] = {}
    found: list[int | None] = []
    for wanted in hashes:
        there = places.get(wanted)
        turn = taken.get(wanted, 0)
        taken[wanted] = turn + 1
        found.append(None if there is None else there[turn % len(there)])
    return found


def _is_list(value: Any, of: Any) -> bool:
    return isinstance(value, list) and all(of(item) for item in value)


def _is_hash(value: Any) -> bool:
    return isinstance(value, str) and _SHA256.fullmatch(value) is not None


def _is_number(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**63
