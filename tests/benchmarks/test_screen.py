"""Passages that are hidden in text, and what share of the windows is scored."""

import tiny_architectures as tiny
import torch

from benchmarks.screen import hidden_in_text, share_scored
from memunlearn.paragraphs.windows import Cutting
from memunlearn.recitation.find import Search, find_recited


def test_each_text_holds_its_passage_between_other_tokens():
    passages, other = torch.arange(3 * 10).view(3, 10), 1000 + torch.arange(70).view(7, 10)
    texts = hidden_in_text(passages, other, seed=3)
    places = []
    for text, passage in zip(texts, passages, strict=True):
        place = int((text.ids == passage[0]).nonzero())
        assert torch.equal(text.ids[place : place + 10], passage)
        assert (torch.cat([text.ids[:place], text.ids[place + 10 :]]) >= 1000).all()
        assert place <= 15 and len(text) - place - 10 <= 12
        places.append(place)
    assert len(set(places)) > 1
    assert [text.ids.tolist() for text in hidden_in_text(passages, other, 3)] == [text.ids.tolist() for text in texts]
    assert [text.ids.tolist() for text in hidden_in_text(passages, other, 4)] != [text.ids.tolist() for text in texts]


def test_the_share_of_windows_is_that_of_the_screen():
    model = tiny.tiny_model("gpt_neo")
    texts = hidden_in_text(tiny.some_ids(1, 3, 12), tiny.some_ids(2, 5, 12), seed=1)
    how = Search(windows=Cutting("forget", 1).windows(6, 6), before=(), least=6, context=20)
    readings = find_recited(model, texts, how, "texts")
    expected = sum(len(set(reading.screened)) for reading in readings) / sum(len(text) - 6 - 6 + 1 for text in texts)
    assert share_scored(readings) == expected
