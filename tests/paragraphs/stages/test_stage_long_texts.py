"""The texts of a stage, cut into windows."""

import pytest
from tiny_tokenizers import byte_level, words

from memunlearn.errors import UserError
from memunlearn.paragraphs.clusters import clusters_of
from memunlearn.paragraphs.paragraph_set import FILL
from memunlearn.paragraphs.stages.long_texts import check_windows, rows_of_long_texts
from memunlearn.paragraphs.texts import Text

P, C = 12, 5


def cut(contents, source="forget", tokenizer=None, bos="auto", max_windows=None):
    texts = [Text(f"set:{number}", content, {}) for number, content in enumerate(contents)]
    return rows_of_long_texts(
        texts, source, P, C, max_windows=max_windows, tokenizer=tokenizer or byte_level(), bos=bos, where="set"
    )


def continuations(made):
    """By text the tokens, counted from its first, that stand in a continuation."""
    asked = {}
    for place in made.paragraphs.places:
        asked.setdefault(place.text, []).extend(range(place.start, place.start + C))
    return asked


def test_all_of_a_text_to_forget_is_asked_for():
    tokenizer = byte_level()
    contents = [words(n, 30 + n) for n in range(4)]
    made = cut(contents, tokenizer=tokenizer)
    for number, content in enumerate(contents):
        tokens = tokenizer(content)["input_ids"]
        assert set(continuations(made)[f"set:{number}"]) == set(range(10, len(tokens)))
    for ids, place in zip(made.paragraphs.ids.tolist(), made.paragraphs.places, strict=True):
        tokens = tokenizer(contents[int(place.text[-1])])["input_ids"]
        whole = [FILL] * max(0, P - place.start) + tokens[max(0, place.start - P) : place.start + C]
        assert ids == whole and place.source == "forget"
    assert len(clusters_of(made.paragraphs).unique()) == len(contents)  # all rows of a text


@pytest.mark.parametrize(("source", "stride"), [("bystander", C), ("retain", P + C), ("unseen", P + C)])
def test_others_are_cut_side_by_side(source, stride):
    tokenizer = byte_level()
    content = words(3, 60)
    starts = [place.start for place in cut([content], source, tokenizer).paragraphs.places]
    assert starts == list(range(P, len(tokenizer(content)["input_ids"]) - C + 1, stride))


@pytest.mark.parametrize("source", ["forget", "retain"])
def test_the_rows_of_a_set_are_bounded_and_it_is_said(source, capsys):
    made = cut([words(n, 300) for n in range(3)], source, max_windows=7).paragraphs
    assert [place.text for place in made.places] == [name for name in ("set:0", "set:1", "set:2") for _ in range(2)]
    assert "set: 3 of 3 texts cut to their first" in capsys.readouterr().err
    assert len(cut([words(n, 300) for n in range(3)], source, max_windows=1).paragraphs) == 3  # one of each at least


def test_what_stands_in_front_of_text_stands_in_front_of_every_row():
    tokenizer = byte_level(beginning=("<|bos|>",), bos="<|bos|>")
    made = cut([words(1, 40)], tokenizer=tokenizer).paragraphs
    assert made.text_start == 1 and (made.ids[:, 0] == tokenizer.bos_token_id).all() and len(made) > 3
    assert cut([words(1, 40)], tokenizer=tokenizer, bos=False).paragraphs.text_start == 0


def test_short_texts_are_said_by_name(capsys):
    made = cut([words(1, 30), "short", "", words(2, 30)])
    assert made.dropped == 2 and set(continuations(made)) == {"set:0", "set:3"}
    assert "set: 2 of 4 texts dropped: fewer than 15 tokens: set:1, set:2" in capsys.readouterr().err
    with pytest.raises(UserError, match="set: none of its 2 rows has 15 tokens .set:0, set:1."):
        cut(["short", "shorter"])


def test_settings_that_make_no_row_are_refused():
    with pytest.raises(UserError, match="paragraphs.max_windows=0"):
        check_windows(5, 5, 0)
    with pytest.raises(UserError, match="at least one token on each side"):
        check_windows(5, 0, None)
    with pytest.raises(UserError, match="set: there is no such text in the data set"):
        cut([])
    with pytest.raises(UserError, match="model.tokenizer"):
        rows_of_long_texts([Text("a", "b", {})], "forget", P, C, max_windows=1, tokenizer=None, bos="auto", where="set")
