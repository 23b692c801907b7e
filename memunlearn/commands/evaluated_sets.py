"""Which set evaluate.py shows a row in: the one that train.py would put it in; and what it says of a set and of a row."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from memunlearn.errors import UserError
from memunlearn.evaluation.suite import Measurement
from memunlearn.evaluation.summary import Summary, summarize, summarize_texts
from memunlearn.paragraphs.caps import Caps
from memunlearn.paragraphs.clusters import repeats
from memunlearn.paragraphs.near_parts import NEAR_FORGOTTEN, NEAR_OTHER
from memunlearn.paragraphs.paragraph_set import ParagraphSet
from memunlearn.paragraphs.places import place_columns
from memunlearn.paragraphs.roles import UNKNOWN, UNSEEN
from memunlearn.paragraphs.sources import LoadedParagraphs
from memunlearn.paragraphs.splits import (
    ROLE_NAMES,
    sets_as_given,
    split_by_em,
    split_named,
    split_pools,
)
from memunlearn.results.tables import SET_ORDER
from memunlearn.scoring.metric import FromPass, FromPassAndBase, FromPassAndSampling, FromTextSize, OfOwnText
from memunlearn.scoring.metrics import METRICS


def set_names(paragraphs: LoadedParagraphs, rows: ParagraphSet, em: Tensor, seed: int, caps: Caps) -> list[str]:
    """For each row the name of its set, or "none"."""
    try:
        if paragraphs.memorized is not None and paragraphs.non_memorized is not None:
            # Positions in the split are those of the two pools one after the other; here they are found again by origin.
            sets = split_pools(paragraphs.memorized, paragraphs.non_memorized, seed, caps)
            of_origin = {origin: name for name, members in sets.by_name().items() for origin in members.origin}
            return [of_origin.get(origin, "none") for origin in rows.origin]
        if paragraphs.corpus is not None:
            sets = split_by_em(paragraphs.corpus, em, seed, caps)
        else:
            named = (paragraphs.forget, paragraphs.bystander, paragraphs.retain)
            sets = split_named(*named, seed, caps, protected=paragraphs.protected, suspected=paragraphs.suspected)
    except UserError as error:
        # Evaluating needs no forget set and no retain sets; training does.
        print(f"not split as for training: {error}")
        if paragraphs.corpus is not None or paragraphs.bins:
            return ["none"] * len(rows)
        sets = sets_as_given(
            paragraphs.forget,
            paragraphs.bystander,
            paragraphs.retain,
            paragraphs.protected,
            suspected=paragraphs.suspected,
        )
    names = ["none"] * len(rows)
    for name, positions in sets.rows.items():
        for position in positions.tolist():
            names[position] = name
    return names


def holds_forgotten(rows: ParagraphSet, names: Sequence[str], all_forget: bool) -> list[bool | None]:
    """For each near row whether its continuation holds text of a forget row's continuation (`repeats`); None for other rows.

    all_forget: whether every forget row is here. Where one is lacking, None for near rows too that hold nothing of those here.
    """
    said = rows.continuations
    near, forget = (_are(names, name).nonzero().flatten() for name in ("near", "forget"))
    holds: list[bool | None] = [None] * len(rows)
    for row, repeated in zip(near.tolist(), repeats(said[near], said[forget]).tolist(), strict=True):
        holds[row] = True if repeated else (False if all_forget else None)
    return holds


def members_of(names: Sequence[str], holds: Sequence[bool | None]) -> dict[str, Tensor]:
    """[N] bool by set: those that are always reported, the parts of near among them, and others where they have rows."""
    others = [name for name in (*ROLE_NAMES, "none", UNKNOWN, UNSEEN) if name not in SET_ORDER and name in names]
    parts = {NEAR_FORGOTTEN: True, NEAR_OTHER: False}
    return {name: _are(holds, parts[name]) if name in parts else _are(names, name) for name in (*SET_ORDER, *others)}


def summaries_of(measured: Measurement, members: Tensor, seed: int) -> list[Summary]:
    """Of the rows of one set [N] bool; nothing is decoded here. None of them where it has no rows."""
    part = measured.select(members)
    summary = summarize(part, seed)
    return [] if summary is None else [summary, summarize_texts(None, part.clusters, part.scores.token_nll.shape[1])]


def columns_of(
    rows: ParagraphSet, names: Sequence[str], bins: list[str], measured: Measurement, holds: list[bool | None]
) -> dict[str, list[Any]]:
    """Of paragraphs.parquet; index counts rows within a set."""
    seen: Counter[str] = Counter()
    index = []
    for name in names:
        index.append(seen[name])
        seen[name] += 1
    nothing: list[None] = [None] * len(rows)
    places = [place_columns(rows.place(row)) for row in range(len(rows))]
    kinds = FromPass | FromPassAndBase | FromPassAndSampling | FromTextSize | OfOwnText
    of_rows = [metric for metric in METRICS if isinstance(metric.source, kinds) and metric.in_rows]
    return {
        "set": list(names),
        "index": index,
        "origin": list(rows.origin),
        **{name: [of_row[name] for of_row in places] for name in place_columns(None)},
        "cluster": measured.clusters.tolist(),
        "holds_forgotten": holds,
        "bin": bins,
        **{metric.key: nothing if (column := measured.column(metric)) is None else column for metric in of_rows},
    }


def _are(values: Sequence[Any], value: Any) -> Tensor:
    return torch.tensor([one == value for one in values], dtype=torch.bool)
