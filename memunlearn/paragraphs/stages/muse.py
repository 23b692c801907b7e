"""MUSE: books or news articles to be forgotten, and a model that was trained again without them (arXiv 2407.06460)."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice

from memunlearn.errors import UserError
from memunlearn.paragraphs.beginnings import Bos, Tokenizer
from memunlearn.paragraphs.loaded import LoadedParagraphs
from memunlearn.paragraphs.paragraph_set import ParagraphSet
from memunlearn.paragraphs.readers import ReadResult
from memunlearn.paragraphs.stages.long_texts import check_windows, rows_of_long_texts
from memunlearn.paragraphs.stages.tables import Table, check_max_rows
from memunlearn.paragraphs.texts import Text

CORPORA = {"books": "MUSE-Books", "news": "MUSE-News"}


@dataclass(frozen=True, kw_only=True)
class MuseSource:
    """MUSE's texts for verbatim memorization.

    The data sets muse-bench/MUSE-Books and muse-bench/MUSE-News have the configuration `raw` with one column, `text`, and the
    splits (their cards) `forget`: to be forgotten; `retain1`: to keep a model in order while it forgets; `retain2`: seen by the
    target model and used to judge it; `holdout`: seen by no model. Here: forget, retain, bystander and never-seen rows.

    corpus: books or news. base: the owner on the Hub, or a folder with copies. max_rows: texts of each set, from
    the first. max_windows: the most rows of each, as many of each text.
    """

    prefix_length: int = 50
    continuation_length: int = 50
    base: str = "muse-bench"
    corpus: str = "news"
    revision: str | None = None
    max_rows: int | None = 100
    max_windows: int | None = 1000
    bos: Bos = "auto"

    def check(self) -> None:
        """What can be told before a model is loaded. Raises UserError as `load` does."""
        check_max_rows(self.max_rows)
        check_windows(self.prefix_length, self.continuation_length, self.max_windows)
        if self.corpus not in CORPORA:
            raise UserError(f"paragraphs.corpus={self.corpus} is not known: use {' or '.join(CORPORA)}")
        for split in ("forget", "retain1", "retain2"):
            self._table(split).check()

    def load(self, tokenizer: Tokenizer | None = None) -> LoadedParagraphs:
        """Raises UserError where the data set cannot be read, or has another layout."""
        self.check()
        splits = {"forget": "forget", "bystander": "retain2", "retain": "retain1"}
        read = {name: self._rows(name, split, tokenizer) for name, split in splits.items()}
        sets = {name: rows.paragraphs for name, rows in read.items()}
        counts = ", ".join(f"{len(sets[name])} of {split} ({name})" for name, split in splits.items())
        return LoadedParagraphs(
            description=f"{CORPORA[self.corpus]}, rows: {counts}",
            forget=sets["forget"],
            bystander=sets["bystander"],
            retain=sets["retain"],
            dropped={name: rows.dropped for name, rows in read.items() if rows.dropped},
            beginning=read["forget"].beginning,
        )

    def load_unseen(self, tokenizer: Tokenizer | None = None) -> ParagraphSet:
        """Rows that no model was trained on. Raises UserError as `load` does."""
        return self._rows("unseen", "holdout", tokenizer).paragraphs

    def _table(self, split: str) -> Table:
        return Table(
            base=self.base, name=CORPORA[self.corpus], subset="raw", split=split, columns=("text",), revision=self.revision
        )

    def _rows(self, name: str, split: str, tokenizer: Tokenizer | None) -> ReadResult:
        """The texts of a split as the set of that name."""
        table = self._table(split)
        return rows_of_long_texts(
            [
                Text(f"{table.where}:{position}", table.text(row, "text", position), {})
                for position, row in enumerate(islice(table.rows(), self.max_rows))
            ],
            name,
            self.prefix_length,
            self.continuation_length,
            max_windows=self.max_windows,
            tokenizer=tokenizer,
            bos=self.bos,
            where=table.where,
        )
