"""Sequences that OLMo 2 recites, found for the K-FAC edit ("From Memorization to Reasoning in the Spectrum of Loss Curvature",
arXiv 2510.24256)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import torch

from memunlearn.errors import UserError
from memunlearn.paragraphs.beginnings import Bos, Tokenizer
from memunlearn.paragraphs.loaded import LoadedParagraphs
from memunlearn.paragraphs.paragraph_set import ParagraphSet, concatenate
from memunlearn.paragraphs.readers import check_row_lengths
from memunlearn.paragraphs.stages.long_texts import rows_of_long_texts
from memunlearn.paragraphs.stages.tables import Table, check_max_rows
from memunlearn.paragraphs.texts import Text

IDS = ("prefix_ids", "suffix_ids")


@dataclass(frozen=True, kw_only=True)
class OlmoMemorizedSource:
    """Recited sequences of 64 + 48 tokens beside other text, one corpus that is split by EM.

    The files of github.com/goodfire-ai/memorization_kfac (its data/paths.py names them, its metrics/memorization_evaluator.py
    reads them) are jsonl with lists of ids in `prefix_ids` (64) and `suffix_ids` (48): `olmo_1b_dolma_dedup_train.jsonl` and
    `..._val.jsonl` for allenai/OLMo-2-0425-1B, `olmo_7b_dolma_dedup_...` for allenai/OLMo-2-1124-7B. They hold recited text
    only; the beginnings of texts of NeelNanda/pile-10k, the text that its code measures perplexity on, stand beside it.

    base: the address, or the folder, that has the files. files: their names. other: the data set of other text, with a column
    `text` and a split `train`. max_rows: texts of it, from the first.
    """

    prefix_length: int = 64
    continuation_length: int = 48
    base: str = "https://raw.githubusercontent.com/goodfire-ai/memorization_kfac/main/data"
    files: Sequence[str] = ("olmo_1b_dolma_dedup_train.jsonl", "olmo_1b_dolma_dedup_val.jsonl")
    other: str = "NeelNanda/pile-10k"
    revision: str | None = None
    max_rows: int | None = 1000
    bos: Bos = "auto"

    def check(self) -> None:
        """What can be told before a model is loaded. Raises UserError as `load` does."""
        check_max_rows(self.max_rows)
        check_row_lengths(self.prefix_length, self.continuation_length)
        if not self.files or isinstance(self.files, str):
            raise UserError(f"paragraphs.files={self.files} is no list of files: set 'paragraphs.files=[FILE.jsonl]'")
        for table in (*self._tables(), self._other()):
            table.check()

    def load(self, tokenizer: Tokenizer | None = None) -> LoadedParagraphs:
        """Raises UserError where a file cannot be read, or has another layout or rows of other lengths."""
        self.check()
        recited = [self._recited(table) for table in self._tables()]
        other = self._other()
        texts = [
            Text(f"{other.where}:{position}", other.text(row, "text", position), {})
            for position, row in enumerate(islice(other.rows(), self.max_rows))
        ]
        beside = rows_of_long_texts(
            texts,
            "path",
            self.prefix_length,
            self.continuation_length,
            max_windows=len(texts),
            tokenizer=tokenizer,
            bos=self.bos,
            where=other.where,
        )
        count = sum(map(len, recited))
        return LoadedParagraphs(
            description=f"{count} sequences that OLMo 2 recites, {len(beside.paragraphs)} rows of {other.where}",
            corpus=concatenate([*recited, beside.paragraphs]),
            dropped={"corpus": beside.dropped} if beside.dropped else {},
            beginning=beside.beginning,
        )

    def _tables(self) -> Iterator[Table]:
        for file in self.files:
            yield Table(base=self.base, name=file, split="train", columns=IDS, is_file=True)

    def _other(self) -> Table:
        base, _, name = self.other.rpartition("/")
        return Table(base=base or ".", name=name, split="train", columns=("text",), revision=self.revision)

    def _recited(self, table: Table) -> ParagraphSet:
        rows, origins = [], []
        for position, row in enumerate(table.rows()):
            prefix, suffix = (table.ids(row, column, position) for column in IDS)
            if (len(prefix), len(suffix)) != (self.prefix_length, self.continuation_length):
                raise UserError(
                    f"{table.name}:{position}: has {len(prefix)} + {len(suffix)} ids, and {self.prefix_length} + "
                    f"{self.continuation_length} were expected: set paragraphs.prefix_length and "
                    "paragraphs.continuation_length to those of the file"
                )
            rows.append([*prefix, *suffix])
            origins.append(f"{table.name}:{position}")
        return ParagraphSet(torch.tensor(rows), self.prefix_length, tuple(origins))
