"""What a model's config says of the text that it reads. Models that read more than text keep that in a part of their config."""

from __future__ import annotations

from typing import Any

from torch import nn

from memunlearn.errors import UserError
from memunlearn.models.locations import locate


def text_config(model: nn.Module) -> Any:
    """The config, or the part of it that is about text."""
    config: Any = model.config
    return config.get_text_config()


def vocabulary_size(model: nn.Module) -> int:
    """How many logits there are at a position. The tokenizer may know fewer ids: vocabularies are padded."""
    return int(text_config(model).vocab_size)


def hidden_size(model: nn.Module) -> int:
    """Width D of the hidden states between blocks."""
    return int(text_config(model).hidden_size)


def context_length(model: nn.Module) -> int | None:
    """Tokens that the model can read; None where its config does not say (BLOOM: no limit)."""
    return _longest(text_config(model))


def longest_text(name_or_path: str, revision: str | None = None) -> int | None:
    """The same of a model that is not loaded yet; None too where its config cannot be read, which loading it explains."""
    from transformers import AutoConfig

    try:
        config = AutoConfig.from_pretrained(locate(name_or_path), revision=revision, trust_remote_code=False)
    except Exception:  # whatever a broken config makes its reader raise
        return None
    return _longest(config.get_text_config())


def _longest(config: Any) -> int | None:
    longest: int | None = getattr(config, "max_position_embeddings", None) or getattr(config, "max_seq_len", None)  # MPT's
    return longest


def end_tokens(model: nn.Module) -> list[int]:
    """The ids that end a text: one, none, or several."""
    ends: int | list[int] | None = getattr(text_config(model), "eos_token_id", None)
    return [] if ends is None else [ends] if isinstance(ends, int) else list(ends)


def head_counts(model: nn.Module) -> tuple[int, int]:
    """(query heads, kv heads) of every block. Raises UserError if the config does not say."""
    config = text_config(model)
    heads: int | None = getattr(config, "num_attention_heads", None)
    if heads is None:
        raise UserError(
            f"the config of {type(model).__name__} does not say num_attention_heads: weights cannot be told by head"
        )
    if config.model_type == "falcon":
        # num_kv_heads counts only in the newer of its two layouts.
        own = config.num_kv_heads if config.new_decoder_architecture else 1 if config.multi_query else heads
        return heads, own
    return heads, getattr(config, "num_key_value_heads", None) or heads
