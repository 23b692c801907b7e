"""The rows of the run that made a patch, found again by their hashes: never split anew, never under another role."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from memunlearn.paragraphs.clusters import cluster_rows
from memunlearn.paragraphs.paragraph_set import ParagraphSet, concatenate
from memunlearn.paragraphs.roles import UNKNOWN, Roles, positions_of, row_hashes
from memunlearn.paragraphs.row_file import RowFile
from memunlearn.paragraphs.sources import LoadedParagraphs
from memunlearn.paragraphs.splits import ROLE_NAMES


@dataclass(frozen=True)
class Pool:
    """Rows among which those of the run are looked for. bins: the bin of each, where the source has fixed it."""

    where: str
    rows: ParagraphSet
    bins: Sequence[str] = ()
    self_generated: bool = False

    @staticmethod
    def of(paragraphs: LoadedParagraphs) -> Pool:
        return Pool(paragraphs.description, paragraphs.all_rows, paragraphs.bins_of_origin, paragraphs.self_generated)


@dataclass(frozen=True, kw_only=True)
class RunRows:
    """The rows by role, each role in the order of the run; then those of no role, as `unknown`.

    rows, names, clusters, bins: N each; clusters as in the run's split, bins None where EM decides.
    found: by role (how many were found, how many there are). alternatives: of an edit, where they are known: forget rows'
    prefixes with them, and the positions [m] of these rows.
    """

    rows: ParagraphSet
    names: Sequence[str]
    clusters: Tensor
    bins: Sequence[str | None]
    self_generated: bool
    found: Mapping[str, tuple[int, int]]
    alternatives: tuple[ParagraphSet, Tensor] | None = None


def find_rows(roles: Roles, pools: Sequence[Pool], given: Pool | None) -> RunRows:
    """The run's rows from whichever pool has them, the first before the others; of `given` also those that are not the run's.

    Raises ValueError where none of the run's is there.
    """
    everywhere = [*pools, *([] if given is None else [given])]
    if not everywhere:
        raise ValueError("there are no rows to look among")
    rows = concatenate([pool.rows for pool in everywhere])
    bins: list[str | None] = []
    for pool in everywhere:
        bins += pool.bins or [None] * len(pool.rows)
    hashes = row_hashes(rows.ids)
    positions, names, clusters, found = [], [], [], {}
    for name in ROLE_NAMES:
        wanted = roles.rows.get(name, ())
        members = zip(positions_of(wanted, hashes), roles.clusters.get(name, ()), strict=True)
        there = [(place, cluster) for place, cluster in members if place is not None]
        positions += [place for place, _ in there]
        clusters += [cluster for _, cluster in there]
        names += [name] * len(there)
        if wanted:
            found[name] = (len(there), len(wanted))
    if not positions:
        raise ValueError("none of the run's rows is here")
    unknown = (
        []
        if given is None
        else [place for place in range(len(rows) - len(given.rows), len(rows)) if hashes[place] not in roles.hashes]
    )
    chosen = rows.select(positions + unknown)
    return RunRows(
        rows=chosen,
        names=names + [UNKNOWN] * len(unknown),
        clusters=join_clusters(chosen, torch.tensor(clusters)),
        bins=[bins[place] for place in positions + unknown],
        self_generated=any(pool.self_generated for pool in everywhere),
        found=found,
    )


def join_clusters(rows: ParagraphSet, known: Tensor) -> Tensor:
    """[N]: the run's clusters of the first rows; the others join them by what they share, or get numbers of their own."""
    clusters = torch.cat([known, known.new_zeros(len(rows) - len(known))])
    if len(known) == len(rows):
        return clusters
    joint = cluster_rows(rows.ids, texts=rows.texts).tolist()
    of_joint: dict[int, int] = {}
    for number, cluster in zip(joint, known.tolist(), strict=False):
        of_joint.setdefault(number, cluster)
    free = int(known.max()) + 1
    for place in range(len(known), len(rows)):
        if joint[place] not in of_joint:
            of_joint[joint[place]] = free
            free += 1
        clusters[place] = of_joint[joint[place]]
    return clusters


def alternatives_of(roles: Roles, file: RowFile, chosen: RunRows) -> tuple[ParagraphSet, Tensor] | None:
    """`RunRows.alternatives` from the file that all rows are from; None where nothing was edited, or the file lacks one."""
    edited = [(i, known) for i, known in enumerate(roles.alternatives or ()) if known is not None]
    places = positions_of([known for _, known in edited], row_hashes(file.alternatives))
    if not edited or None in places:
        return None
    rows = list(chosen.names).index("forget") + torch.tensor([i for i, _ in edited])
    continuations = file.alternatives[torch.tensor(places)][:, chosen.rows.prefix_length :]
    return chosen.rows.select(rows).with_continuations(continuations), rows
