"""Which parts of the texts that somebody asked about a model recites: looked up, or searched for once and kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch
from omegaconf import DictConfig
from torch import Tensor

from memunlearn.caching.keys import tensor_digest
from memunlearn.caching.store import cached
from memunlearn.commands.base_measurements import BaseMeasurements
from memunlearn.commands.measurement_keys import metrics_in_key
from memunlearn.commands.text_entries import text_entries
from memunlearn.errors import UserError
from memunlearn.models.loading import LoadedModel
from memunlearn.models.text_config import context_length
from memunlearn.paragraphs.clusters import near_duplicates
from memunlearn.paragraphs.given_files import names_in_short
from memunlearn.paragraphs.paragraph_set import ParagraphSet, concatenate
from memunlearn.paragraphs.sources import LoadedParagraphs
from memunlearn.paragraphs.token_texts import TokenText
from memunlearn.paragraphs.windows import Cutting
from memunlearn.recitation.find import Reading, Search, find_recited, readings_of, rows_to_forget
from memunlearn.results.found import NOT_RECITED, RECITED, TOO_SHORT, of_kind
from memunlearn.scoring.sampling import Sampling
from memunlearn.scoring.score import ParagraphScores
from memunlearn.words import counted

VERSION = 1
LONGEST_SCREEN = 1024
"""Tokens of a screening pass at most, whatever the model can read: a pass keeps logits of each of them."""


@dataclass(frozen=True)
class Asked:
    """The paragraphs of a run with the recited windows as its forget set; entries: what was found of each text (`result.json`,
    `texts`), None where no texts were named."""

    paragraphs: LoadedParagraphs
    entries: list[dict[str, Any]] | None


def search_of(
    settings: Mapping[str, Any],
    loaded: LoadedModel,
    before: tuple[int, ...],
    *,
    batch_size: int,
    least: int | None = None,
    sampling: Sampling | None = None,
) -> Search:
    """settings: prefix_length, continuation_length, stride and min_prefix (the last two may be missing), of paragraphs=files.

    least: C where it is None. Raises UserError for settings that cannot be.
    """
    cutting = Cutting("forget", settings.get("stride", "auto"), settings.get("min_prefix"))
    windows = cutting.windows(settings["prefix_length"], settings["continuation_length"])
    row = windows.prefix_length + windows.continuation_length
    return Search(
        windows=windows,
        before=before,
        least=windows.continuation_length if least is None else least,
        context=max(row, min(context_length(loaded.model) or LONGEST_SCREEN, LONGEST_SCREEN)),
        batch_size=batch_size,
        sampling=sampling,
    )


def search(
    measurements: BaseMeasurements,
    texts: Sequence[TokenText],
    how: Search,
    description: str,
    also: Sequence[Sequence[int]] | None = None,
) -> list[Reading]:
    """`find_recited` on the base model, from the store where it is there."""
    metrics = metrics_in_key(details=how.sampling is not None, compared=False, sampling=how.sampling)
    key = measurements.key(
        "recited",
        VERSION,
        {"texts": [tensor_digest(text.ids) for text in texts], "before": list(how.before)},
        windows=asdict(how.windows),
        least=how.least,
        context=how.context,
        **({} if also is None else {"also": [list(starts) for starts in also]}),
        **metrics,
    )

    def pack(readings: list[Reading]) -> dict[str, Tensor]:
        scores = ParagraphScores.concatenate([reading.scores for reading in readings])
        flat = {
            name: torch.tensor([start for reading in readings for start in getattr(reading, name)], dtype=torch.int64)
            for name in ("starts", "screened")
        }
        counts = {
            f"{name}_of_text": torch.tensor([len(getattr(reading, name)) for reading in readings])
            for name in ("starts", "screened")
        }
        return {**scores.tensors(), **flat, **counts}

    def unpack(tensors: Mapping[str, Tensor]) -> list[Reading]:
        scores = ParagraphScores.of_tensors(tensors)
        starts, screened = (
            [part.tolist() for part in tensors[name].split(tensors[f"{name}_of_text"].tolist())]
            for name in ("starts", "screened")
        )
        return readings_of(texts, starts, screened, scores, how.least)

    return cached(
        measurements.store,
        "searches",
        key,
        make=lambda _: find_recited(measurements.model, texts, how, description, also),
        pack=pack,
        unpack=unpack,
    )


def with_recited_rows(
    cfg: DictConfig,
    paragraphs: LoadedParagraphs,
    loaded: LoadedModel,
    measurements: BaseMeasurements,
    sampling: Sampling | None = None,
) -> Asked:
    """What is recited of texts that were named to be forgotten is the forget set; rows like any part of them leave other sets.

    As they are where no texts were named. sampling: of p_z, as in the search that `memunlearn find` may have made of these
    texts, which is then known already. Raises UserError where nothing is recited.
    """
    asked = paragraphs.asked
    if asked is None:
        return Asked(paragraphs, None)
    how = search_of(cfg.paragraphs, loaded, asked.before, batch_size=2 * cfg.batch_size, sampling=sampling)
    readings = search(measurements, asked.texts, how, "texts to forget")
    entries = text_entries(readings)
    print("\n".join(_told(entries)), flush=True)
    of_ids = asked.paragraphs.select([place is None for place in asked.paragraphs.places or (None,) * len(asked.paragraphs)])
    recited = rows_to_forget(readings, how, how.windows.continuation_length)
    parts = [rows for rows in (of_ids, recited) if rows is not None and len(rows)]
    if not parts:
        raise UserError(
            f"none of the {len(entries)} texts of paragraphs.forget is recited (a continuation of "
            f"{how.windows.continuation_length} tokens, word for word), so there is nothing to forget: `memunlearn find` shows "
            "how far the model comes with each"
        )
    forget = concatenate(parts)
    others = ("bystander", "retain", "protected")
    bystander, retain, protected = (_unlike(name, getattr(paragraphs, name), asked.paragraphs) for name in others)
    return Asked(replace(paragraphs, forget=forget, bystander=bystander, retain=retain, protected=protected), entries)


def _unlike(name: str, rows: ParagraphSet | None, asked: ParagraphSet) -> ParagraphSet | None:
    """The rows that are no near-duplicates of any part of the texts; says how many are."""
    if rows is None or not len(rows) or not len(asked):
        return rows
    alike = near_duplicates(rows, asked)
    if bool(alike.any()):
        left_out = counted(int(alike.sum()), "row")
        print(f"paragraphs.{name}: {left_out} left out: near-duplicates of parts of texts that are to be forgotten", flush=True)
    return rows.select(~alike)


def _told(entries: Sequence[Mapping[str, Any]]) -> list[str]:
    lines = []
    for kind, said in (
        (RECITED, "recited, at least in part"),
        (NOT_RECITED, "not recited, so neither trained on nor reported"),
        (TOO_SHORT, "too short to be asked for"),
    ):
        if names := [entry["name"] for entry in of_kind(entries, kind)]:
            lines.append(f"texts to forget: {len(names)} of {len(entries)} {said}: {names_in_short(names)}")
    return lines
