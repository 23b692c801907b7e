"""Recited spans against a scorer that decodes from every token of a text, one after the other."""

from dataclasses import replace

import naive_scoring as naive
import pytest
import torch

from memunlearn.paragraphs.paragraph_set import FILL
from memunlearn.paragraphs.token_texts import TokenText
from memunlearn.paragraphs.windows import Windows
from memunlearn.recitation.find import Search, find_recited, rows_to_forget, screen_recall
from memunlearn.scoring.sampling import Sampling

P, C, LEAST = 7, 9, 3


def search(stride=C, before=(), **changed):
    how = Windows(prefix_length=P, continuation_length=C, stride=stride, min_prefix=LEAST, covering=True)
    return Search(windows=how, before=before, least=C, context=32, batch_size=5, **changed)


def noise(seed, count):
    return torch.randint(1, 61, (count,), generator=torch.Generator().manual_seed(seed))


@pytest.fixture
def texts(sets):
    """Recited rows in the middle, at the end, twice; without their beginning; and texts with none, or too short."""
    recited = sets.forget.ids
    parts = {
        "middle": [noise(1, 21), recited[0], noise(2, 13)],
        "end": [noise(3, 34), recited[1]],
        "twice": [recited[2], noise(4, 5), recited[3]],
        "only the row": [recited[4]],
        "none": [noise(5, 40)],
        "short": [noise(6, LEAST + C - 1)],
        "as short as can be": [noise(7, LEAST + C)],
    }
    return [TokenText(name=name, ids=torch.cat(ids)) for name, ids in parts.items()]


def decoded_everywhere(model, text, before=()):
    """EM of every continuation of the text, by greedy decoding from what stands before it: {start: EM}."""
    found = {}
    for start in range(LEAST, len(text.ids) - C + 1):
        prefix = text.ids[max(0, start - (P - len(before))) : start]
        said, _ = naive.greedy(model, torch.cat([torch.tensor(before, dtype=torch.int64), prefix]), C)
        found[start] = naive.agreement(said, text.ids[start : start + C])
    return found


def spans_of(em):
    """Runs of tokens that lie in a recited continuation, from EM by start."""
    tokens = sorted({token for start, right in em.items() if right == C for token in range(start, start + C)})
    cuts = [number for number, token in enumerate(tokens) if not number or token - tokens[number - 1] > 1]
    return [(tokens[a], tokens[b - 1] + 1) for a, b in zip(cuts, [*cuts[1:], len(tokens)], strict=False)]


@pytest.mark.parametrize("stride", [C, 1])
@pytest.mark.parametrize("before", [(), (5,)])
def test_every_recited_span_is_found(reciting, texts, stride, before):
    readings = find_recited(reciting, texts, search(stride, before), "texts")
    assert [reading.text.name for reading in readings] == [text.name for text in texts]
    for reading, text in zip(readings, texts, strict=True):
        em = decoded_everywhere(reciting, text, before)
        assert [(span.start, span.end) for span in reading.spans] == spans_of(em)
        scored = dict(zip(reading.starts, reading.scores.em.tolist(), strict=True))
        assert scored == {start: em[start] for start in reading.starts}
        for span in reading.spans:
            assert set(span.starts) == {s for s, right in em.items() if right == C and span.start <= s <= span.end - C}
        assert reading.too_short == (text.name == "short")
    if not before:
        assert [len(reading.spans) for reading in readings[:4]] == [1, 1, 2, 1]


def test_a_search_at_stride_1_tells_what_the_screen_would_have_missed(reciting, texts, monkeypatch):
    readings = find_recited(reciting, texts, search(1), "texts")
    whole = sum(len(span.starts) for reading in readings for span in reading.spans)
    assert screen_recall(readings, C) == (whole, whole) and whole >= 5
    monkeypatch.setattr("memunlearn.recitation.screen.LEAST_HITS", 1.1)
    assert screen_recall(find_recited(reciting, texts, search(1), "texts"), C) == (0, whole)


def test_only_the_beginning_is_looked_at_if_that_is_asked_for(reciting, texts):
    how = search()
    first = Windows(prefix_length=P, continuation_length=C, stride=C, min_prefix=LEAST, covering=False, first_only=True)
    readings = find_recited(reciting, texts, replace(how, windows=first), "texts")
    assert [len(reading.starts) for reading in readings] == [1, 1, 1, 1, 1, 0, 1]


def test_further_windows_are_scored_too(reciting, texts):
    also = [[start for start in (5, 8) if start + C <= len(text)] for text in texts]
    plain, more = (find_recited(reciting, texts, search(), "texts", given) for given in (None, also))
    for one, other, further in zip(plain, more, also, strict=True):
        assert set(other.starts) == {*one.starts, *further}


def test_rows_to_forget_are_the_recited_windows(reciting, texts):
    how = search(sampling=Sampling(5))
    readings = find_recited(reciting, texts, how, "texts")
    assert all("log_p_z" in reading.scores.values for reading in readings)
    rows = rows_to_forget(readings, how, step=C)
    assert {place.text for place in rows.places} == {"middle", "end", "twice", "only the row"}
    for row, place in zip(rows.ids, rows.places, strict=True):
        text = next(text for text in texts if text.name == place.text)
        assert torch.equal(row[P:], text.ids[place.start : place.start + C])
        kept = row[:P][row[:P] != FILL]
        assert torch.equal(kept, text.ids[place.start - len(kept) : place.start])
    for reading in readings:
        for span in reading.spans:
            said = {t for place in rows.places if place.text == reading.text.name for t in range(place.start, place.start + C)}
            assert said >= set(range(span.start, span.end))
    assert rows_to_forget(readings[4:], how, step=C) is None
