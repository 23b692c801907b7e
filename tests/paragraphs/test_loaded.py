"""What a source gave, without rows of short prefixes."""

import torch

from memunlearn.paragraphs.loaded import LoadedParagraphs
from memunlearn.paragraphs.paragraph_set import FILL, ParagraphSet


def rows(count, *short):
    ids = torch.arange(1, 1 + 6 * count).reshape(count, 6)
    ids[list(short), :2] = FILL
    return ParagraphSet(ids, 4, tuple(map(str, range(count))))


def test_rows_of_short_prefixes_leave_every_set():
    given = LoadedParagraphs(description="", forget=rows(3, 1), retain=rows(4), bystander=rows(2, 0, 1))
    kept, left_out = given.without_short_prefixes()
    assert left_out == 3 and kept.forget.origin == ("0", "2") and len(kept.bystander) == 0
    assert kept.retain is given.retain and kept.corpus is None
    corpus, left_out = LoadedParagraphs(description="", corpus=rows(3, 2)).without_short_prefixes()
    assert left_out == 1 and corpus.corpus.origin == ("0", "1")


def test_without_such_rows_it_is_the_same():
    given = LoadedParagraphs(description="", corpus=rows(3))
    assert given.without_short_prefixes() == (given, 0)
