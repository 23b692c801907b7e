"""TOFU: questions and answers about authors who do not exist, and models that were never told of some (arXiv 2401.06121)."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice

from memunlearn.errors import UserError
from memunlearn.paragraphs.beginnings import Bos, Tokenizer
from memunlearn.paragraphs.loaded import LoadedParagraphs
from memunlearn.paragraphs.paragraph_set import ParagraphSet
from memunlearn.paragraphs.readers import ReadResult, check_row_lengths
from memunlearn.paragraphs.stages.answers import Pair, parts_of, rows_of_answers
from memunlearn.paragraphs.stages.tables import Table, check_max_rows

PERCENT = (1, 5, 10)
NAME = "TOFU"


@dataclass(frozen=True, kw_only=True)
class TofuSource:
    """TOFU's questions as prefixes, its answers as continuations.

    The data set locuslab/TOFU has a configuration a set, each with the split `train` and the columns `question` and `answer`:
    `forget01`, `forget05`, `forget10`; what is left of the 4,000 pairs, `retain99`, `retain95`, `retain90`; and pairs about
    other authors that no model was told of, `holdout01`, `holdout05`, `holdout10`. Here: forget, retain and never-seen rows.
    All retain rows were trained on: what the model recites of them, it is to go on reciting.

    percent: 1, 5 or 10 % of the authors are to be forgotten. template: how a pair is written; this one is what TOFU's own
    configuration gives Phi and other models without a chat format. A model that was trained with another one needs that one.
    base: the owner on the Hub, or a folder with copies. max_rows: pairs of each set, from the first.
    """

    prefix_length: int = 64
    continuation_length: int = 20
    base: str = "locuslab"
    percent: int = 10
    template: str = "Question: {question}\nAnswer: {answer}"
    revision: str | None = None
    max_rows: int | None = None
    bos: Bos = "auto"

    def check(self) -> None:
        """What can be told before a model is loaded. Raises UserError as `load` does."""
        check_max_rows(self.max_rows)
        check_row_lengths(self.prefix_length, self.continuation_length)
        parts_of(self.template)
        if self.percent not in PERCENT:
            raise UserError(f"paragraphs.percent={self.percent} is not a part of TOFU: use {', '.join(map(str, PERCENT))}")
        for name in ("forget", "retain"):
            self._table(name).check()

    def load(self, tokenizer: Tokenizer | None = None) -> LoadedParagraphs:
        """Raises UserError where the data set cannot be read, or has another layout."""
        self.check()
        forget, retain = (self._rows(name, tokenizer) for name in ("forget", "retain"))
        return LoadedParagraphs(
            description=f"TOFU, {self.percent} % of the authors to forget: {len(forget.paragraphs)} rows; of the others "
            f"{len(retain.paragraphs)}",
            forget=forget.paragraphs,
            retain=retain.paragraphs,
            dropped={name: rows.dropped for name, rows in (("forget", forget), ("retain", retain)) if rows.dropped},
            beginning=forget.beginning,
        )

    def load_unseen(self, tokenizer: Tokenizer | None = None) -> ParagraphSet:
        """Rows about authors that no model was told of. Raises UserError as `load` does."""
        return self._rows("unseen", tokenizer).paragraphs

    def _table(self, name: str) -> Table:
        part = 100 - self.percent if name == "retain" else self.percent
        subset = f"{name}{part:02d}"
        return Table(
            base=self.base, name=NAME, subset=subset, split="train", columns=("question", "answer"), revision=self.revision
        )

    def _rows(self, name: str, tokenizer: Tokenizer | None) -> ReadResult:
        table = self._table("holdout" if name == "unseen" else name)
        return rows_of_answers(
            [
                Pair(f"{table.where}:{position}", table.text(row, "question", position), table.text(row, "answer", position))
                for position, row in enumerate(islice(table.rows(), self.max_rows))
            ],
            self.template,
            name,
            self.prefix_length,
            continuation_length=self.continuation_length,
            tokenizer=tokenizer,
            bos=self.bos,
            where=table.where,
        )
