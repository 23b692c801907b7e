"""Hubble: text that was planted in a model's training data, and a twin that was trained without it (arXiv 2510.19811)."""

from __future__ import annotations

from collections.abc import Sequence
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

PLANTED = (1, 4, 16, 64, 256)


@dataclass(frozen=True, kw_only=True)
class HubbleSource:
    """Planted text of a perturbed Hubble model: forget and bystander; text that was never planted: retain and never-seen rows.

    The data sets of github.com/allegro-lab/hubble (its README lists them) have the columns `text`, `duplicates` (how often it
    was planted: 1, 4, 16, 64 or 256 times in the split `train`, 0 in `test`) and `meta`. The paper unlearns one part of what
    was planted and asks what happens to the rest; its own division is no column of these data sets. Here texts take turns:
    of those planted `duplicates` times the first, third ... are to be forgotten (the paper's "unlearn"), the second, fourth ...
    are bystanders ("keep"); of `test` the first, third ... are retain rows ("unseen"), the others never-seen ones.

    base: the owner on the Hub, or a folder with copies. data: which data set. max_rows: the most texts of each
    set. max_windows: the most rows of each, as many of each text.
    """

    prefix_length: int = 50
    continuation_length: int = 50
    base: str = "allegrolab"
    data: str = "passages_gutenberg_unpopular"
    duplicates: Sequence[int] = (256,)
    revision: str | None = None
    max_rows: int | None = 500
    max_windows: int | None = 2000
    bos: Bos = "auto"

    def check(self) -> None:
        """What can be told before a model is loaded. Raises UserError as `load` does."""
        check_max_rows(self.max_rows)
        check_windows(self.prefix_length, self.continuation_length, self.max_windows)
        counts = self.duplicates if isinstance(self.duplicates, list | tuple) else ()
        if not counts or any(count not in PLANTED for count in counts):
            raise UserError(
                f"paragraphs.duplicates={self.duplicates} is not how often text was planted: give a list of some of "
                f"{', '.join(map(str, PLANTED))}"
            )
        for split in ("train", "test"):
            self._table(split).check()

    def load(self, tokenizer: Tokenizer | None = None) -> LoadedParagraphs:
        """Raises UserError where the data set cannot be read, or has another layout."""
        self.check()
        forget, bystander = (self._rows(name, "train", turn, tokenizer) for turn, name in enumerate(("forget", "bystander")))
        retain = self._rows("retain", "test", 0, tokenizer)
        read = {"forget": forget, "bystander": bystander, "retain": retain}
        return LoadedParagraphs(
            description=f"Hubble, {self.data}: text planted {self._often} times, {len(forget.paragraphs)} rows to forget, "
            f"{len(bystander.paragraphs)} beside them; never planted, {len(retain.paragraphs)} rows",
            forget=forget.paragraphs,
            bystander=bystander.paragraphs,
            retain=retain.paragraphs,
            dropped={name: rows.dropped for name, rows in read.items() if rows.dropped},
            beginning=forget.beginning,
        )

    def load_unseen(self, tokenizer: Tokenizer | None = None) -> ParagraphSet:
        """Rows that the model was never trained on, and that are in no other set. Raises UserError as `load` does."""
        return self._rows("unseen", "test", 1, tokenizer).paragraphs

    @property
    def _often(self) -> str:
        return " or ".join(map(str, self.duplicates))

    def _table(self, split: str) -> Table:
        return Table(base=self.base, name=self.data, split=split, columns=("text", "duplicates"), revision=self.revision)

    def _rows(self, name: str, split: str, turn: int, tokenizer: Tokenizer | None) -> ReadResult:
        """Every other text of a kind, from the first or (turn 1) the second on, as the set of that name."""
        table = self._table(split)
        return rows_of_long_texts(
            self._texts(table, (0,) if split == "test" else tuple(self.duplicates), turn),
            name,
            self.prefix_length,
            self.continuation_length,
            max_windows=self.max_windows,
            tokenizer=tokenizer,
            bos=self.bos,
            where=table.where if split == "test" else f"{table.where}, planted {self._often} times",
        )

    def _texts(self, table: Table, duplicates: Sequence[int], turn: int) -> list[Text]:
        of_kind = (
            Text(f"{table.where}:{position}", table.text(row, "text", position), {"duplicates": str(row["duplicates"])})
            for position, row in enumerate(table.rows())
            if row["duplicates"] in duplicates
        )
        return list(islice(of_kind, turn, None if self.max_rows is None else turn + 2 * self.max_rows, 2))
