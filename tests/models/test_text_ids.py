"""What no text can hold: the padding of a vocabulary, special tokens, ends."""

import pytest
import tiny_architectures as tiny
from tokenizers import AddedToken, Tokenizer, models
from transformers import PreTrainedTokenizerFast

from memunlearn.models.text_ids import no_text


def words(count, **special):
    vocabulary = {f"word{i}": i for i in range(count)}
    return PreTrainedTokenizerFast(tokenizer_object=Tokenizer(models.WordLevel(vocabulary, unk_token="word0")), **special)


@pytest.fixture
def model():
    return tiny.tiny_model("gpt_neo")  # 61 ids, 0 ends a text


def test_without_a_tokenizer_it_is_what_ends_a_text(model):
    assert no_text(model, None) == [0]
    for ends, expected in ((None, []), ([3, 7, 999], [3, 7]), (5, [5])):
        model.config.eos_token_id = ends
        assert no_text(model, None) == expected


def test_ids_beyond_the_tokenizer_are_padding(model):
    model.config.eos_token_id = None
    assert no_text(model, words(50)) == list(range(50, 61))
    assert no_text(model, words(61)) == []
    assert no_text(model, words(80)) == []  # what the model does not know cannot be drawn anyway


def test_gaps_and_special_tokens_are_no_text(model):
    tokenizer = words(40, bos_token="word3", pad_token="word4")
    tokenizer.add_tokens([AddedToken("<image>", special=True), AddedToken("a word", special=False)])
    assert tokenizer.convert_tokens_to_ids(["<image>", "a word"]) == [40, 41]
    assert no_text(model, tokenizer) == [0, 3, 4, 40, *range(42, 61)]


def test_a_tokenizer_of_ones_own_needs_a_vocabulary_only(model):
    class Own:
        def get_vocab(self):
            return {"a": 3, "b": 9}

    assert no_text(model, Own()) == sorted(set(range(61)) - {3, 9})


def test_the_nested_vocabulary_is_meant():
    model = tiny.tiny_model("gemma3")
    ends = no_text(model, None)
    assert no_text(model, words(59)) == sorted({*ends, 59, 60})
