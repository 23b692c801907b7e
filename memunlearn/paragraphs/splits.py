"""Which paragraph plays which role: forget, bystander, near, retain, and their held-out parts. Pure; same seed, same sets.

A cluster never straddles sets (except forget and near), so nothing that is reported stood in a loss as a near-duplicate.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from torch import Tensor, from_numpy

from memunlearn.errors import UserError
from memunlearn.paragraphs.bins import is_memorized, is_non_memorized
from memunlearn.paragraphs.caps import Caps
from memunlearn.paragraphs.cluster_choice import (
    halves_and_quarters,
    hold_out_quarter,
    number_generator,
    share_of_clusters,
    thin,
    whole_clusters,
)
from memunlearn.paragraphs.clusters import clusters_of
from memunlearn.paragraphs.paragraph_set import ParagraphSet, concatenate
from memunlearn.paragraphs.retain_text import SUSPECTED

SET_NAMES = ("forget", "bystander", "near", "bystander_val", "retain_train", "retain_val", "retain")
PROTECTED = "protected"
ROLE_NAMES = (*SET_NAMES, PROTECTED, SUSPECTED)
"""Protected and suspected rows are there only where they were asked for, or found."""

MIDDLE_EM = "neither memorized nor non-memorized"
OVER_MAX_FORGET = "over paragraphs.max_forget"
OVER_MAX_BYSTANDER = "over paragraphs.max_bystander"
OVER_MAX_RETAIN = "over paragraphs.max_retain"
LIKE_MEMORIZED = "near-duplicates of memorized paragraphs"
LIKE_PROTECTED = "near-duplicates of protected paragraphs"
LIKE_KNOWN = "suspected, but near-duplicates of paragraphs that were named"
LIKE_OWN = "near-duplicates of the model's own continuations"


@dataclass(frozen=True, kw_only=True)
class ParagraphSets:
    """Every set, possibly with 0 rows.

    clusters: by set name, [n] int64 cluster numbers; one numbering for all sets.
    rows: by set name, [n] int64 positions in the corpus, or in the sets that were given, one after the other
    (memorized, non_memorized; forget, bystander, retain, protected, suspected).
    dropped: rows in no set, by reason. protected: None where none were asked for. suspected: rows of the model's own text that
    seem memorized; None where none were looked for.
    """

    forget: ParagraphSet
    bystander: ParagraphSet
    near: ParagraphSet
    bystander_val: ParagraphSet
    retain_train: ParagraphSet
    retain_val: ParagraphSet
    retain: ParagraphSet
    clusters: Mapping[str, Tensor]
    rows: Mapping[str, Tensor]
    dropped: Mapping[str, int]
    protected: ParagraphSet | None = None
    suspected: ParagraphSet | None = None

    def by_name(self) -> dict[str, ParagraphSet]:
        """The seven sets in the order of SET_NAMES, then the protected and the suspected rows if there are any."""
        sets = {name: getattr(self, name) for name in ROLE_NAMES}
        return {name: members for name, members in sets.items() if members is not None}


def describe(sets: ParagraphSets) -> list[str]:
    """Lines to print: rows and clusters of each set that has any, and what was dropped and why."""
    filled = {name: members for name, members in sets.by_name().items() if len(members)}
    lines = [f"{name}: {len(members)} rows in {len(sets.clusters[name].unique())} clusters" for name, members in filled.items()]
    return lines + [f"left out: {count} rows: {reason}" for reason, count in sets.dropped.items()]


def split_by_em(corpus: ParagraphSet, em: Tensor, seed: int, caps: Caps) -> ParagraphSets:
    """Sets of a mixed corpus. em: [N] integers 0..C, the model's exact match on each row.

    Raises UserError where nothing is memorized, or too little is not.
    """
    if em.shape != (len(corpus),):
        raise ValueError(f"{len(corpus)} paragraphs came with EM of shape {list(em.shape)}")
    memorized = is_memorized(em, corpus.continuation_length).cpu().numpy()
    non_memorized = is_non_memorized(em, corpus.continuation_length).cpu().numpy()
    return _split_pools(corpus, memorized, non_memorized, seed, caps)


def split_pools(memorized: ParagraphSet, non_memorized: ParagraphSet, seed: int, caps: Caps) -> ParagraphSets:
    """Sets of two pools whose roles are known from their origin (pile): nothing is scored. Raises as `split_by_em` does."""
    everything = concatenate([memorized, non_memorized])
    from_memorized = np.arange(len(everything)) < len(memorized)
    return _split_pools(everything, from_memorized, ~from_memorized, seed, caps)


def split_named(
    forget: ParagraphSet | None,
    bystander: ParagraphSet | None,
    retain: ParagraphSet | None,
    seed: int,
    caps: Caps,
    *,
    protected: ParagraphSet | None = None,
    suspected: ParagraphSet | None = None,
) -> ParagraphSets:
    """Sets given by name.

    Bystanders that share a cluster with a forget row are `near`; a quarter of the other bystanders' clusters is bystander_val.
    Retain rows that share no cluster with any of the others are split into retain_train, retain_val and retain. Protected rows
    stay as they are: what shares a cluster with one is in no other set. The share `caps.protect` of the bystanders joins them.
    Suspected rows stay too, but those that share a cluster with a forget, bystander or protected row: these are known.
    A set that is None has no rows. Raises UserError where a retain set is given and has fewer than 3 clusters of its own, and
    where a protected row shares a cluster with a forget row.
    """
    everything, role = _joined(forget, bystander, retain, protected, suspected)
    clusters = clusters_of(everything).numpy()
    chosen, near, apart, unrelated, dropped = _named_roles(clusters, role, caps, seed)
    if wrong := int(np.isin(clusters[role == 3], clusters[chosen]).sum()):
        raise UserError(
            f"{wrong} rows of paragraphs.protected are near-duplicates of rows of paragraphs.forget: what is to be forgotten "
            "cannot be kept, take them out of one of the two"
        )
    others, dropped[OVER_MAX_BYSTANDER] = _split_bystanders(apart, clusters, caps, seed)
    positions = {"forget": chosen, "near": near} | others
    if protected is not None:
        positions[PROTECTED] = np.concatenate([np.flatnonzero(role == 3), others.get(PROTECTED, role[:0])])
    if suspected is not None:
        positions[SUSPECTED], dropped[LIKE_KNOWN] = _unknown_to_all(clusters, role)
    retained, dropped[OVER_MAX_RETAIN] = _split_retain(unrelated, clusters, caps, seed) if retain is not None else ({}, 0)
    return _sets(everything, clusters, positions | retained, dropped)


def sets_as_given(
    forget: ParagraphSet | None,
    bystander: ParagraphSet | None,
    retain: ParagraphSet | None,
    protected: ParagraphSet | None = None,
    *,
    suspected: ParagraphSet | None = None,
) -> ParagraphSets:
    """Sets given by name, to be reported only: near and left-out rows as in `split_named`, but nothing is held out."""
    everything, role = _joined(forget, bystander, retain, protected, suspected)
    clusters = clusters_of(everything).numpy()
    chosen, near, apart, unrelated, dropped = _named_roles(clusters, role, Caps(), seed=0)
    positions = {"forget": chosen, "near": near, "bystander": apart, "retain": unrelated}
    positions |= {PROTECTED: np.flatnonzero(role == 3)} if protected is not None else {}
    if suspected is not None:
        positions[SUSPECTED], dropped[LIKE_KNOWN] = _unknown_to_all(clusters, role)
    return _sets(everything, clusters, positions, dropped)


def _split_pools(
    corpus: ParagraphSet, memorized: np.ndarray, non_memorized: np.ndarray, seed: int, caps: Caps
) -> ParagraphSets:
    clusters = clusters_of(corpus).numpy()
    pool = np.flatnonzero(memorized)
    forget = whole_clusters(pool, clusters, forget_rows(len(pool), caps), number_generator(seed, "forget"))
    return sets_around(corpus, clusters, memorized, non_memorized=non_memorized, forget=forget, seed=seed, caps=caps)


def forget_rows(pool: int, caps: Caps) -> int:
    """How many of a pool of memorized rows are to be forgotten. Raises UserError if there are none."""
    if not pool:
        raise UserError(
            "no paragraph is memorized (EM = C), so there is nothing to forget: give other text with "
            "paragraphs.path=CORPUS, or name forget rows with paragraphs.forget=FILE (every row's EM stands in the "
            "paragraphs.parquet that evaluate.py writes)"
        )
    return min(pool, caps.max_forget if caps.max_forget is not None else max(1, pool // 2))


def sets_around(
    corpus: ParagraphSet,
    clusters: np.ndarray,
    memorized: np.ndarray,
    *,
    non_memorized: np.ndarray,
    forget: np.ndarray,
    seed: int,
    caps: Caps,
) -> ParagraphSets:
    """Every other set, once the forget rows are chosen: from the memorized, or (own continuations) the non-memorized rows."""
    pool = np.flatnonzero(memorized)
    others = np.setdiff1d(pool, forget)
    touched = np.isin(clusters[others], clusters[forget])
    bystanders, over_bystander = _split_bystanders(others[~touched], clusters, caps, seed)
    candidates = np.setdiff1d(np.flatnonzero(non_memorized), forget)
    like_memorized = np.isin(clusters[candidates], clusters[pool])
    like_own = np.isin(clusters[candidates], clusters[forget]) & ~like_memorized
    retained, over_retain = _split_retain(candidates[~like_memorized & ~like_own], clusters, caps, seed)
    dropped = {
        MIDDLE_EM: int((~memorized & ~non_memorized).sum()),
        LIKE_MEMORIZED: int(like_memorized.sum()),
        LIKE_OWN: int(like_own.sum()),
        OVER_MAX_BYSTANDER: over_bystander,
        OVER_MAX_RETAIN: over_retain,
    }
    positions = {"forget": forget, "near": others[touched]} | bystanders | retained
    return _sets(corpus, clusters, positions, dropped)


def _joined(*given: ParagraphSet | None) -> tuple[ParagraphSet, np.ndarray]:
    """All rows one after the other, and for each the number of the set that it came from."""
    present = [(number, members) for number, members in enumerate(given) if members is not None]
    if not present:
        raise UserError("no paragraphs were given: set paragraphs.forget=, paragraphs.bystander= or paragraphs.retain=")
    role = np.concatenate([np.full(len(members), number) for number, members in present])
    return concatenate([members for _, members in present]), role


def _named_roles(
    clusters: np.ndarray, role: np.ndarray, caps: Caps, seed: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, dict[str, int]]:
    """Positions of forget, near, bystander and retain rows, where roles 0, 1, 2 (3: protected, 4: suspected) were given by
    name; and what was dropped."""
    named_forget, named_bystander, named_retain, protected = (np.flatnonzero(role == number) for number in range(4))
    limit = caps.max_forget if caps.max_forget is not None else len(named_forget)
    forget = whole_clusters(named_forget, clusters, limit, number_generator(seed, "forget"))
    like_protected = np.isin(clusters[named_bystander], clusters[protected])
    named_bystander = named_bystander[~like_protected]
    touched = np.isin(clusters[named_bystander], clusters[forget])
    like_memorized = np.isin(clusters[named_retain], clusters[role != 2])
    dropped = {
        OVER_MAX_FORGET: len(named_forget) - len(forget),
        LIKE_PROTECTED: int(like_protected.sum()),
        LIKE_MEMORIZED: int(like_memorized.sum()),
    }
    return forget, named_bystander[touched], named_bystander[~touched], named_retain[~like_memorized], dropped


def _unknown_to_all(clusters: np.ndarray, role: np.ndarray) -> tuple[np.ndarray, int]:
    """Positions of the suspected rows (role 4) in no cluster with a forget, bystander or protected one; and how many are."""
    suspected = np.flatnonzero(role == 4)
    known = np.isin(clusters[suspected], clusters[np.isin(role, (0, 1, 3))])
    return suspected[~known], int(known.sum())


def _capped(rows: np.ndarray, clusters: np.ndarray, cap: int | None, seed: int) -> tuple[np.ndarray, int]:
    kept = thin(rows, clusters, cap, number_generator(seed, "cap"))
    return kept, len(rows) - len(kept)


def _split_bystanders(rows: np.ndarray, clusters: np.ndarray, caps: Caps, seed: int) -> tuple[dict[str, np.ndarray], int]:
    """By name the rows of bystander, bystander_val and, where a share is asked for, protected; and how many the cap left out.

    What is protected would be in `bystander` without it, so that runs with and without it report rows that can be compared.
    """
    kept, over = _capped(rows, clusters, caps.max_bystander, seed)
    reported, val = hold_out_quarter(kept, clusters, number_generator(seed, "bystander"))
    if not caps.protect:
        return {"bystander": reported, "bystander_val": val}, over
    left, protected = share_of_clusters(reported, clusters, caps.protect, number_generator(seed, "protect"))
    if not len(protected):
        raise UserError(
            f"paragraphs.protect={caps.protect} of {len(np.unique(clusters[reported]))} clusters of bystanders protects none: "
            "set a larger share, 0, or give more memorized paragraphs that are not to be forgotten"
        )
    return {"bystander": left, "bystander_val": val, PROTECTED: protected}, over


def _split_retain(rows: np.ndarray, clusters: np.ndarray, caps: Caps, seed: int) -> tuple[dict[str, np.ndarray], int]:
    found = len(np.unique(clusters[rows]))
    if found < 3:
        raise UserError(
            f"{len(rows)} non-memorized paragraphs in {found} clusters cannot fill retain_train, retain_val and retain: "
            "at least 3 clusters of non-memorized paragraphs are needed, unrelated to the memorized ones: "
            "add some to paragraphs.path or paragraphs.retain"
        )
    kept, over = _capped(rows, clusters, caps.max_retain, seed)
    train, val, report = halves_and_quarters(kept, clusters, number_generator(seed, "retain"))
    return {"retain_train": train, "retain_val": val, "retain": report}, over


def _sets(
    everything: ParagraphSet, clusters: np.ndarray, positions: Mapping[str, np.ndarray], dropped: Mapping[str, int]
) -> ParagraphSets:
    nothing = np.empty(0, dtype=np.int64)
    names = [name for name in ROLE_NAMES if name in (*SET_NAMES, *positions)]
    rows = {name: from_numpy(np.sort(positions.get(name, nothing)).astype(np.int64)) for name in names}
    return ParagraphSets(
        **{name: everything.select(where) for name, where in rows.items()},
        clusters={name: from_numpy(clusters)[where] for name, where in rows.items()},
        rows=rows,
        dropped={reason: count for reason, count in dropped.items() if count},
    )
