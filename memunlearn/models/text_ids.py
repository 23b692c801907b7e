"""Which ids of a model's vocabulary can stand in a text."""

from __future__ import annotations

from typing import Any

from torch import nn

from memunlearn.models.text_config import end_tokens, vocabulary_size


def no_text(model: nn.Module, tokenizer: Any | None) -> list[int]:
    """The ids below V, sorted, that no text can hold, and that are never drawn in place of a token.

    They are those that end a text and, where there is a tokenizer, its special tokens and ids that it does not know:
    vocabularies are padded to a round size, and such ids were never trained.
    """
    size = vocabulary_size(model)
    ids = set(end_tokens(model))
    if tokenizer is not None:
        # A tokenizer of the user's own may know of nothing special.
        added = getattr(tokenizer, "added_tokens_decoder", {})
        ids |= {number for number, token in added.items() if token.special} | set(getattr(tokenizer, "all_special_ids", ()))
        ids |= set(range(size)) - set(tokenizer.get_vocab().values())
    return sorted(number for number in ids if 0 <= number < size)
