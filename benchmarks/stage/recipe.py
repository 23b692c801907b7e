"""Recipes: which model, on how many rows of what kind, and how it is trained until it recites some of them."""

from __future__ import annotations

from dataclasses import dataclass

PREFIX = CONTINUATION = 50
LENGTH = PREFIX + CONTINUATION
"""Tokens of a row, I = P + C: what `paragraphs=files` takes by default."""


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """A GPT-Neo and its training.

    layers, width, heads: of the model. vocabulary: tokens, at most, of the tokenizer that is trained where none is given.
    memorized, seen, unseen: rows that are shown again and again, now and then (as ordinary training text is), and never.
    background: rows of ordinary text at most, the seen ones among them. sources: whether the standard library's sources
    belong to the default text, or its documentation topics only.
    steps: at most; of memorized_batch + background_batch rows each. check_every: steps between two checkpoints, each of which
    looks at EM. learning_rate, beta2: of AdamW. precision: as in Lightning. needs_gpu: whether it would take a CPU days.
    """

    layers: int
    width: int
    heads: int
    vocabulary: int
    memorized: int
    seen: int
    unseen: int
    background: int
    sources: bool
    steps: int
    memorized_batch: int
    background_batch: int
    learning_rate: float
    beta2: float
    check_every: int
    precision: str
    needs_gpu: bool = False


RECIPES = {
    "tiny": Recipe(
        layers=2,
        width=96,
        heads=4,
        vocabulary=512,
        memorized=12,
        seen=16,
        unseen=24,
        background=64,
        sources=False,
        steps=120,
        memorized_batch=6,
        background_batch=2,
        learning_rate=5e-3,
        beta2=0.999,
        check_every=30,
        precision="32-true",
    ),
    "30m": Recipe(
        layers=6,
        width=384,
        heads=6,
        vocabulary=50257,
        memorized=192,
        seen=230,
        unseen=270,
        background=1000,
        sources=True,
        steps=600,
        memorized_batch=14,
        background_batch=2,
        learning_rate=6e-4,
        beta2=0.98,
        check_every=40,
        precision="bf16-mixed",
    ),
    "125m": Recipe(
        layers=12,
        width=768,
        heads=12,
        vocabulary=50257,
        memorized=592,
        seen=400,
        unseen=800,
        background=120_000,
        sources=True,
        steps=576,
        memorized_batch=112,
        background_batch=208,
        learning_rate=8e-4,
        beta2=0.999,
        check_every=96,
        precision="bf16-mixed",
        needs_gpu=True,
    ),
}
"""By size: seconds and half an hour on two CPU cores, and minutes on a GPU with 80 GB."""
