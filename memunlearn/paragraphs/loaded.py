"""What a source of paragraphs gives."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from memunlearn.paragraphs.paragraph_set import ParagraphSet, concatenate
from memunlearn.paragraphs.readers import ReadResult
from memunlearn.paragraphs.retain_text import RetainText


@dataclass(frozen=True, kw_only=True)
class LoadedParagraphs:
    """What a source gave. Exactly one of three kinds is filled:

    corpus: one mixed corpus, to be split by EM (`splits.split_by_em`);
    memorized and non_memorized: two pools whose roles are known from their origin (`splits.split_pools`);
    forget, bystander, retain, protected, suspected: sets given by name, any of them possibly None (`splits.split_named`).

    bins: where the source fixes EM bins (pile), every bin's rows by label; the pools are two of them.
    self_generated: the continuations appear to be the model's own output, so EM on them is self-EM.
    description: one line for reports. dropped: rows that were too short, by field (`corpus`, `forget`, ...).
    beginning: where text was tokenized, one line that says what stands in front of it.
    to_make: retain and suspected rows that only the model can give; None where there are none, or they are made.
    asked: where texts were named to be forgotten, all of them: which of their windows are, the model's recitation decides.
    """

    description: str
    corpus: ParagraphSet | None = None
    memorized: ParagraphSet | None = None
    non_memorized: ParagraphSet | None = None
    forget: ParagraphSet | None = None
    bystander: ParagraphSet | None = None
    retain: ParagraphSet | None = None
    protected: ParagraphSet | None = None
    suspected: ParagraphSet | None = None
    bins: Mapping[str, ParagraphSet] = field(default_factory=dict)
    self_generated: bool = False
    dropped: Mapping[str, int] = field(default_factory=dict)
    beginning: str | None = None
    to_make: RetainText | None = None
    asked: ReadResult | None = None

    @property
    def all_rows(self) -> ParagraphSet:
        """Every row once: the corpus; or the bins in order (pile); or the sets by name: forget, bystander, retain, ..."""
        if self.corpus is not None:
            return self.corpus
        if self.bins:
            return concatenate(list(self.bins.values()))
        named = (self.forget, self.bystander, self.retain, self.protected, self.suspected)
        return concatenate([members for members in named if members is not None])

    def without_short_prefixes(self) -> tuple[LoadedParagraphs, int]:
        """The same with rows of P prefix tokens only, and how many others there were."""
        kept, left_out = {}, 0
        for name in ("corpus", "forget", "bystander", "retain", "protected", "suspected"):
            members: ParagraphSet | None = getattr(self, name)
            if members is not None and (number := int(members.short.sum())):
                kept[name] = members.select(~members.short)
                left_out += number
        return replace(self, **kept) if kept else self, left_out  # type: ignore[arg-type]

    @property
    def bins_of_origin(self) -> list[str]:
        """Bins that the source has fixed (pile), a label a row; none where EM decides. Such rows are never scored anew, their
        continuations being the model's own output."""
        return [label for label, members in self.bins.items() for _ in range(len(members))]
