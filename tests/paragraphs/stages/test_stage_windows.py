"""Windows of long texts."""

import pytest
from tiny_tokenizers import byte_level, words

from memunlearn.errors import UserError
from memunlearn.paragraphs.stages.windows import check_windows, window_starts, windows


def cut(texts, prefix=5, continuation=3, tokenizer=None, **settings):
    how = {"max_windows": None, "overlap": False, "bos": "auto", "where": "set"} | settings
    named = [(f"set:{number}", text) for number, text in enumerate(texts)]
    return windows(named, prefix, continuation, tokenizer=tokenizer or byte_level(), **how)


def naive_starts(count, width, stride, whole):
    starts = [start for start in range(count) if start % stride == 0 and start + width <= count]
    if whole and count >= width and count - width not in starts:
        starts.append(count - width)
    return starts


@pytest.mark.parametrize("whole", [True, False])
@pytest.mark.parametrize(("width", "stride"), [(8, 3), (8, 8), (5, 2), (1, 1)])
def test_starts_are_those_of_the_plain_rule(width, stride, whole):
    for count in range(40):
        assert window_starts(count, width, stride, whole) == naive_starts(count, width, stride, whole)


def test_every_token_behind_the_first_prefix_is_in_a_continuation_where_windows_overlap():
    tokenizer = byte_level()
    texts = [words(n, 30 + n) for n in range(4)]
    made = cut(texts, tokenizer=tokenizer, overlap=True).paragraphs
    for number, text in enumerate(texts):
        tokens = tokenizer(text)["input_ids"]
        asked = set()
        for ids, origin in zip(made.ids.tolist(), made.origin, strict=True):
            name, start = origin.split("@")
            if name == f"set:{number}":
                assert ids == tokens[int(start) : int(start) + 8]
                asked |= set(range(int(start) + 5, int(start) + 8))
        assert asked == set(range(5, len(tokens)))


def test_others_share_nothing_but_the_last_which_ends_with_the_text():
    tokenizer = byte_level()
    text = words(3, 40)
    tokens = tokenizer(text)["input_ids"]
    made = cut([text], tokenizer=tokenizer).paragraphs
    starts = [int(origin.split("@")[1]) for origin in made.origin]
    assert starts[:-1] == list(range(0, len(tokens) - 7, 8))[: len(starts) - 1] and starts[-1] == len(tokens) - 8
    assert made.ids[-1].tolist() == tokens[-8:]


def test_the_windows_of_a_text_are_bounded_and_it_is_said(capsys):
    tokenizer = byte_level()
    texts = [words(n, 400) for n in range(3)]
    made = cut(texts, tokenizer=tokenizer, max_windows=3)
    assert [origin.split("@")[1] for origin in made.paragraphs.origin] == ["0", "8", "16"] * 3
    assert "set: 3 texts cut to their first 3 windows (paragraphs.max_windows)" in capsys.readouterr().err
    overlapping = cut(texts, tokenizer=tokenizer, max_windows=3, overlap=True).paragraphs
    assert [origin.split("@")[1] for origin in overlapping.origin] == ["0", "3", "6"] * 3


def test_what_stands_in_front_of_text_stands_in_front_of_every_window():
    tokenizer = byte_level(beginning=("<|bos|>",), bos="<|bos|>")
    text = words(1, 40)
    plain = tokenizer(text, add_special_tokens=False)["input_ids"]
    for given in (text, "<|bos|>" + text):  # a text that has it already gets no second one
        made = cut([given], tokenizer=tokenizer).paragraphs
        assert made.text_start == 1 and (made.ids[:, 0] == tokenizer.bos_token_id).all()
        assert made.ids[0, 1:].tolist() == plain[:7] and made.ids[1, 1:].tolist() == plain[7:14]
    assert cut([text], tokenizer=tokenizer, bos=False).paragraphs.text_start == 0


def test_short_texts_are_counted_and_said(capsys):
    made = cut([words(1, 30), "short", "", words(2, 30)])
    assert made.dropped == 2 and {origin.split("@")[0] for origin in made.paragraphs.origin} == {"set:0", "set:3"}
    assert "set: 2 texts dropped: fewer than 8 tokens" in capsys.readouterr().err
    with pytest.raises(UserError, match="set: all of its 2 texts are too short .fewer than 8 tokens.*paragraphs.prefix_length"):
        cut(["short", "shorter"])


def test_settings_that_make_no_row_are_refused():
    with pytest.raises(UserError, match="paragraphs.max_windows=0"):
        check_windows(5, 5, 0)
    with pytest.raises(UserError, match="at least one token on each side"):
        check_windows(5, 0, None)
    with pytest.raises(UserError, match="model.tokenizer"):
        windows([("a", "b")], 5, 3, max_windows=1, overlap=False, tokenizer=None, bos="auto", where="set")
