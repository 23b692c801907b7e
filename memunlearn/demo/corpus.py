"""The demo's text: real English that every Python carries, cut into paragraphs that do not repeat each other.

The text is the documentation topics of the standard library (`pydoc_data.topics`). Topics repeat each other, so rows are
grouped into clusters of near-duplicates first, and a cluster has one role only.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase, PreTrainedTokenizerFast

from memunlearn.errors import UserError
from memunlearn.paragraphs.clusters import cluster_rows


@dataclass(frozen=True)
class DemoCorpus:
    """The rows [n, I] of each role, all from one text.

    memorized: shown to the model again and again; one row a cluster.
    unseen: never shown to the model, and in no cluster with a shown row.
    background: shown a few times, as ordinary training text is.
    """

    memorized: Tensor
    unseen: Tensor
    background: Tensor


def topics() -> list[str]:
    """The documentation topics of this Python, in the order of their names."""
    from pydoc_data import topics as documentation

    return [text for _, text in sorted(documentation.topics.items())]


def text_hash() -> str:
    """sha256 of the topics: the demo's figures hold for this hash."""
    return hashlib.sha256("\0".join(topics()).encode()).hexdigest()


def train_tokenizer(texts: list[str], vocabulary: int) -> PreTrainedTokenizerFast:
    """A byte-level BPE of this many tokens, trained on the texts; token 0 is `<|endoftext|>`."""
    from tokenizers import ByteLevelBPETokenizer

    bpe = ByteLevelBPETokenizer()
    bpe.train_from_iterator(texts, vocab_size=vocabulary, special_tokens=["<|endoftext|>"], show_progress=False)
    end = "<|endoftext|>"
    return PreTrainedTokenizerFast(tokenizer_object=bpe._tokenizer, bos_token=end, eos_token=end, unk_token=end)


def cut_paragraphs(texts: list[str], tokenizer: PreTrainedTokenizerBase, length: int) -> Tensor:
    """[W, I]: every text cut into windows of I tokens that do not overlap; what is left at its end is not used.
    Nothing stands in front (BOS)."""
    windows = []
    for text in texts:
        ids = tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]
        windows += [ids[start : start + length] for start in range(0, len(ids) - length + 1, length)]
    return torch.tensor(windows, dtype=torch.int64).view(-1, length)


def assign_roles(windows: Tensor, memorized: int, background: int, unseen: int, seed: int) -> DemoCorpus:
    """Rows that are unlike any other become memorized ones, then unseen ones, in seeded order; background rows are any others.

    Raises UserError if the text has too few rows for that.
    """
    clusters = cluster_rows(windows).numpy()
    alone = np.flatnonzero(np.bincount(clusters)[clusters] == 1)
    if memorized + unseen > len(alone) or memorized + unseen + background > len(windows):
        raise UserError(
            f"the demo's text has {len(windows)} paragraphs, {len(alone)} of them unlike any other: "
            f"too few for demo.memorized={memorized}, demo.unseen={unseen} and demo.background={background}; ask for fewer"
        )
    random = np.random.default_rng(seed)
    chosen = random.permutation(alone)[: memorized + unseen]
    others = random.permutation(np.setdiff1d(np.arange(len(windows)), chosen))
    return DemoCorpus(windows[chosen[:memorized]], windows[chosen[memorized:]], windows[others[:background]])
