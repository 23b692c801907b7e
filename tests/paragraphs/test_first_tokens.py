"""Of a long text only the beginning is tokenized, and its first tokens are those of the whole."""

from __future__ import annotations

import json
import random
import tracemalloc

import pytest
import tiny_tokenizers

from memunlearn.errors import UserError
from memunlearn.paragraphs.first_tokens import first_tokens
from memunlearn.paragraphs.readers import read_paragraphs

KINDS = {
    "byte-level": tiny_tokenizers.byte_level,
    "unigram": tiny_tokenizers.unigram,
    "without words": tiny_tokenizers.without_words,
}


def texts(seed):
    """Short and long, with and without spaces, repetitive, beyond ASCII, mostly blank."""
    drawn = random.Random(seed)
    letters = "ab étd 漢字 ships and"
    return [
        "",
        "one",
        tiny_tokenizers.words(seed, 2000),
        "".join(tiny_tokenizers.words(seed + 1, 3000).split()),
        "-" * 40_000,
        "\n" * 30_000 + tiny_tokenizers.words(seed, 400),
        "".join(drawn.choice(letters) for _ in range(drawn.randrange(20_000))),
        "e\u0301" * 4000,
        drawn.choice(tiny_tokenizers.WORDS) * 3000,
    ]


@pytest.mark.parametrize("kind", KINDS)
def test_the_first_tokens_are_those_of_the_whole_text(kind):
    tokenizer = KINDS[kind]()
    for seed in range(3):
        given = texts(seed)
        whole = tokenizer(given, add_special_tokens=False, verbose=False)["input_ids"]
        for count in (1, 37, 100):
            found = first_tokens(given, count, tokenizer, [str(n) for n in range(len(given))])
            assert [first.ids for first in found] == [row[:count] for row in whole]
            assert [first.more for first in found] == [len(row) > count for row in whole]


class Counting:
    """One token a word; counts the characters that it is given."""

    def __init__(self):
        self.characters = 0

    def __call__(self, texts, add_special_tokens, verbose):
        self.characters += sum(map(len, texts))
        return {"input_ids": [[len(word) for word in text.split()] for text in texts]}


def test_what_is_not_used_is_not_tokenized():
    counting = Counting()
    first_tokens([tiny_tokenizers.words(0, 200_000)], 100, counting, ["x"])
    assert counting.characters < 10_000


def test_reading_holds_no_more_than_what_is_kept(tmp_path):
    """40 MB of documents, a part of one of them in use at a time."""
    document = json.dumps({"text": tiny_tokenizers.words(0, 20_000)})
    with (tmp_path / "long.jsonl").open("w") as file:
        for _ in range(40_000_000 // len(document)):
            file.write(document + "\n")
    tracemalloc.start()
    try:
        read = read_paragraphs(tmp_path / "long.jsonl", 50, 50, tokenizer=Counting())
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert len(read.paragraphs) > 300 and peak < 20e6


def test_it_is_said_that_documents_are_cut(tmp_path, capsys):
    (tmp_path / "long.jsonl").write_text(
        "\n".join(json.dumps({"text": tiny_tokenizers.words(seed, count)}) for seed, count in enumerate((50, 5, 10, 50)))
    )
    read_paragraphs(tmp_path / "long.jsonl", 6, 4, tokenizer=Counting())
    said = capsys.readouterr().err
    assert "long.jsonl: 1 of 4 texts dropped: fewer than 10 tokens" in said
    assert "long.jsonl: 2 of 3 texts cut to their first 10 tokens" in said


def test_half_a_surrogate_pair_is_named_only_where_it_would_be_used():
    tokenizer = tiny_tokenizers.byte_level()
    with pytest.raises(UserError, match="b:1: holds half of a surrogate pair at character 2"):
        first_tokens(["fine", "ab\ud800c"], 3, tokenizer, ["b:0", "b:1"])
    far = tiny_tokenizers.words(0, 5000) + "\ud800"
    assert len(first_tokens([far], 3, tokenizer, ["b:0"])[0].ids) == 3


def test_a_tokenizer_that_refuses_is_one_line():
    def refuses(texts, add_special_tokens, verbose):
        raise KeyError("no such piece")

    with pytest.raises(UserError, match="c:0 to c:1: the tokenizer refuses the text.*KeyError"):
        first_tokens(["a", "b"], 3, refuses, ["c:0", "c:1"])
