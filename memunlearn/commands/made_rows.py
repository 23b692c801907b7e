"""Rows that are made when the model is there: its own text and the demo's, to be retained; samples that seem memorized."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor

from memunlearn.commands.base_measurements import BaseMeasurements
from memunlearn.commands.inputs import check_fits
from memunlearn.commands.kept_samples import kept_samples
from memunlearn.commands.text_sizes import text_bytes
from memunlearn.demo.corpus import cut_paragraphs, topics
from memunlearn.errors import UserError
from memunlearn.models.loading import LoadedModel
from memunlearn.paragraphs.cluster_choice import number_generator, thin
from memunlearn.paragraphs.clusters import cluster_rows, near_duplicates
from memunlearn.paragraphs.paragraph_set import ParagraphSet, concatenate
from memunlearn.paragraphs.retain_text import DEMO, KINDS, MODEL, SUSPECTED, TEXT_OF_FILES, RetainText
from memunlearn.paragraphs.sources import LoadedParagraphs
from memunlearn.scoring.likelihood import nll_per_byte
from memunlearn.scoring.own_samples import seems_memorized, start_of
from memunlearn.scoring.score import ParagraphScores
from memunlearn.words import counted

# How the origin of such a row begins.
ORIGINS = {MODEL: "own text", DEMO: "demo text"}
OTHER_MEMORIZED = {"bystander", "near", SUSPECTED}
LIKE = "like text to be forgotten"
NOT_MEASURED = (
    "Side effects on other memorized text were not measured: none was named or found. Name some with paragraphs.bystander=FILE "
    "or have samples of the model's own text looked through with paragraphs.suspected=true."
)


@dataclass(frozen=True)
class Made:
    """The paragraphs with the rows that were made; said: sentences on what these are, for the terminal and the page."""

    paragraphs: LoadedParagraphs
    said: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class _Scored:
    """like: [N] bool, rows that are near-duplicates of rows to be forgotten. scores: of the base model."""

    rows: ParagraphSet
    like: Tensor
    scores: ParagraphScores

    def select(self, chosen: Tensor) -> _Scored:
        """chosen: [N] bool."""
        return _Scored(self.rows.select(chosen), self.like[chosen], self.scores.select(chosen))


@dataclass(frozen=True)
class _Retained:
    """rows: to be retained. what: `200 rows of ...`, with how many were left out. kind: of what text they are, for a reader."""

    rows: ParagraphSet
    what: str
    kind: str


def with_made_rows(
    paragraphs: LoadedParagraphs, loaded: LoadedModel, measurements: BaseMeasurements, *, seed: int, batch_size: int
) -> Made:
    """The paragraphs with the retain and suspected rows that are to be made; as they are where none are.

    Near-duplicates of rows to be forgotten (they share 20 tokens in a row), and rows that the model recites (EM = C), are not
    retained. Raises UserError where text is needed and there is no tokenizer.
    """
    asked = paragraphs.to_make
    if asked is None:
        return Made(paragraphs)
    texts, forget = paragraphs.asked, paragraphs.forget
    # Of texts that are to be forgotten no part is to be kept, whether or not the model recites it.
    known = texts.paragraphs if texts is not None else paragraphs.all_rows if forget is None else forget
    maker = _Maker(asked=asked, known=known, loaded=loaded, measurements=measurements, seed=seed, batch_size=batch_size)
    retained = [] if paragraphs.retain is None else [_of_files(paragraphs.retain)]
    samples = maker.samples() if MODEL in asked.words or asked.samples else None
    if samples is not None and MODEL in asked.words:
        retained.append(maker.own_text(samples))
    if DEMO in asked.words:
        retained.append(maker.demo_text())
    said = [_what_kept_means(retained)] if asked.words else []
    suspected = None
    if samples is not None and asked.samples:
        suspected, sentence = maker.suspected(samples)
        said.append(sentence)
    for sentence in said:
        print(sentence, flush=True)
    rows = concatenate([one.rows for one in retained]) if retained else None
    return Made(replace(paragraphs, retain=rows, suspected=suspected, to_make=None), said)


def without_suspected(paragraphs: LoadedParagraphs) -> LoadedParagraphs:
    """The same, none being looked for: localizing has no use for rows that nobody knows to be memorized."""
    asked = paragraphs.to_make
    return paragraphs if asked is None else replace(paragraphs, to_make=replace(asked, samples=0))


def _what_kept_means(parts: list[_Retained]) -> str:
    what, kinds = (" and ".join(getattr(one, name) for one in parts) for name in ("what", "kind"))
    kept = f"'Kept' means here that the model goes on as before in {kinds}; other kinds of text were not looked at."
    return f"retain: {what}. {kept}"


def _of_files(rows: ParagraphSet) -> _Retained:
    return _Retained(rows, f"{counted(len(rows), 'row')} of files", TEXT_OF_FILES)


def _retained(word: str, scored: _Scored, like: int, what: str) -> _Retained:
    """Without rows that the model recites. like: how many were left out before."""
    recited = scored.scores.em == scored.rows.continuation_length
    reasons = {LIKE: like, "recited by the model": int(recited.sum())}
    left_out = "".join(f", {count:,} left out as {why}" for why, count in reasons.items() if count)
    kept = scored.rows.select(~recited)
    return _Retained(kept, f"{counted(len(kept), 'row')} of {what}{left_out}", KINDS[word])


def _first_of_copies(rows: ParagraphSet) -> Tensor:
    """[N] bool."""
    first = torch.zeros(len(rows), dtype=torch.bool)
    first[torch.from_numpy(np.unique(rows.ids.numpy(), axis=0, return_index=True)[1])] = True
    return first


@dataclass(frozen=True, kw_only=True)
class _Maker:
    """known: the rows that nothing may be like. seed, batch_size: of sampling."""

    asked: RetainText
    known: ParagraphSet
    loaded: LoadedModel
    measurements: BaseMeasurements
    seed: int
    batch_size: int

    def samples(self) -> _Scored:
        """The first of many are those of few: what is retained does not depend on how many are looked through."""
        if self.asked.must and self.loaded.tokenizer is None:
            raise UserError(
                "paragraphs.suspected=true tells what seems memorized by the compressed size of text, which needs a tokenizer: "
                "set model.tokenizer=DIR_OR_NAME, or leave it out"
            )
        start = start_of(self.measurements.model, self.loaded.tokenizer, self._in_front)
        number = max(self.asked.rows if MODEL in self.asked.words else 0, self.asked.samples)
        width = self.known.ids.shape[1]
        ids = kept_samples(self.measurements, number, width, start=start, seed=self.seed, batch_size=self.batch_size)
        rows = self._rows(ids, MODEL, len(start.ids))
        return self._scored(MODEL, rows, near_duplicates(rows, self.known))

    def own_text(self, samples: _Scored) -> _Retained:
        first = samples.select(torch.arange(len(samples.rows)) < self.asked.rows)
        what = f"the model's own text (temperature 1, seed {self.seed})"
        return _retained(MODEL, first.select(~first.like), int(first.like.sum()), what)

    def demo_text(self) -> _Retained:
        """Of as many clusters as possible."""
        tokenizer = self.loaded.tokenizer
        if tokenizer is None:
            raise UserError(
                "paragraphs.retain=demo is text, which needs a tokenizer: set model.tokenizer=DIR_OR_NAME, or take "
                "paragraphs.retain=model"
            )
        front = torch.tensor(self._in_front, dtype=torch.int64)
        windows = cut_paragraphs(topics(), tokenizer, self.known.ids.shape[1] - len(front))
        rows = self._rows(torch.cat([front.expand(len(windows), -1), windows], dim=1), DEMO, len(front))
        check_fits(self.loaded, rows)
        like = near_duplicates(rows, self.known)
        unlike = rows.select(~like)
        generator = number_generator(self.seed, "demo text")
        chosen = thin(np.arange(len(unlike)), cluster_rows(unlike.text).numpy(), self.asked.rows, generator)
        kept = unlike.select(torch.from_numpy(chosen))
        scored = self._scored(DEMO, kept, torch.zeros(len(kept), dtype=torch.bool))
        return _retained(DEMO, scored, int(like.sum()), "English that ships with Python")

    def suspected(self, samples: _Scored) -> tuple[ParagraphSet | None, str]:
        """Samples that seem memorized, None where there are none; and a sentence that says so. Of copies there is one: else the
        lowest 1 % were those of the one text that the model is the surest of."""
        tokenizer = self.loaded.tokenizer
        if tokenizer is None:
            return None, "suspected: not looked for, since the compressed size of text tells it, and there is no tokenizer."
        of_all = samples.select(torch.arange(len(samples.rows)) < self.asked.samples)
        of = of_all.select(~of_all.like & _first_of_copies(of_all.rows))
        surest = nll_per_byte(of.scores.token_nll, text_bytes(of.rows, tokenizer))
        found = of.rows.select(seems_memorized(of.scores.em, surest, of.rows.continuation_length))
        like = int(of_all.like.sum())
        where = f"{self.asked.samples:,} samples of the model's own text (temperature 1, seed {self.seed})"
        where += f", {like:,} left out as {LIKE}" if like else ""
        rule = "reproduced by greedy decoding, and with an NLL against zlib among the lowest 1 %"
        if not len(found):
            return None, f"suspected: none, of {where}: no row is memorized by all appearance ({rule})."
        return found, (
            f"suspected: {counted(len(found), 'row')}, of {where}: memorized by all appearance ({rule}), which nobody has "
            "verified. What happens to them is reported; they are in no loss, and they are no bystanders."
        )

    def _scored(self, word: str, rows: ParagraphSet, like: Tensor) -> _Scored:
        return _Scored(rows, like, self.measurements.scores(rows, self.batch_size, f"scoring {ORIGINS[word]}"))

    def _rows(self, ids: Tensor, word: str, text_start: int) -> ParagraphSet:
        origin = tuple(f"{ORIGINS[word]}:{row}" for row in range(len(ids)))
        return ParagraphSet(ids, self.known.prefix_length, origin, text_start)

    @property
    def _in_front(self) -> tuple[int, ...]:
        """What stands in front of the known rows' text (BOS)."""
        return tuple(self.known.ids[:1, : self.known.text_start].flatten().tolist())
