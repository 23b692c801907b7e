"""Texts of tokens: pieces that join to the whole, whatever the tokenizer does."""

import pytest
import torch

from memunlearn.commands.paragraph_table import check_decodes, text_of, token_texts


@pytest.fixture(scope="module")
def byte_tokenizer():
    """A token a byte: every character beyond ASCII is several tokens."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE(vocab={character: i for i, character in enumerate(alphabet)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer)


def ids_of(tokenizer, text):
    return torch.tensor(tokenizer(text)["input_ids"])


def test_a_character_of_several_tokens_stands_in_the_last(byte_tokenizer):
    ids = ids_of(byte_tokenizer, "né €\U0001f600\n")
    pieces = ["n", "", "é", " ", "", "", "€", "", "", "", "\U0001f600", "\n"]
    assert token_texts(ids, byte_tokenizer) == pieces


@pytest.mark.parametrize("start, end", [(0, 2), (2, 5), (1, 6), (5, 6)])
def test_cut_characters_lose_nothing(byte_tokenizer, start, end):
    ids = ids_of(byte_tokenizer, "né€a")[start:end]
    pieces = token_texts(ids, byte_tokenizer)
    assert len(pieces) == end - start and "".join(pieces) == text_of(ids, byte_tokenizer)


def test_a_replacement_character_in_the_text_is_text(byte_tokenizer):
    ids = ids_of(byte_tokenizer, "a\ufffdb")
    pieces = token_texts(ids, byte_tokenizer)  # its first byte alone already decodes to it
    assert pieces == ["a", "\ufffd", "", "", "b"]


def test_without_a_tokenizer_the_pieces_are_ids():
    assert token_texts(torch.tensor([50256, 7]), None) == ["50256", "7"]


@pytest.mark.parametrize("error", [IndexError, TypeError, KeyError, OverflowError])
def test_the_padding_of_a_vocabulary_is_no_text_to_tokenizers_that_refuse_it(error):
    class Strict:
        """Knows 3 ids, the last not where it is counted; raises for others, as those of Python do."""

        words = {0: "a", 1: "b", 7: "c"}

        def get_vocab(self):
            return {word: number for number, word in self.words.items()}

        def decode(self, ids, clean_up_tokenization_spaces):
            if any(number not in self.words for number in ids):
                raise error("out of range")
            return "".join(self.words[number] for number in ids)

    assert text_of(torch.tensor([1, 0, 7]), Strict()) == "bac"
    assert text_of(torch.tensor([1, 5, 7, 9]), Strict()) == "bc"
    assert token_texts(torch.tensor([1, 5, 7, 9]), Strict()) == ["b", "", "c", ""]
    check_decodes(Strict(), 12)
