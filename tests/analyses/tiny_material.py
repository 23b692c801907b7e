"""Material for analyses: a tiny random model, paragraphs that it recites (its own greedy text) and others."""

import tiny_architectures as tiny
import torch

from memunlearn.analyses.material import Material
from memunlearn.models.components import eligible_weights
from memunlearn.paragraphs.bins import bin_labels, is_memorized, is_non_memorized
from memunlearn.paragraphs.clusters import cluster_rows
from memunlearn.paragraphs.paragraph_set import ParagraphSet
from memunlearn.scoring.alternatives import find_alternatives
from memunlearn.scoring.greedy import greedy_continuations, own_continuations
from memunlearn.scoring.score import score

P, C = 7, 9


def tiny_material(family="gpt_neo", memorized=4, others=5, seed=0, batch_size=3, model=None) -> Material:
    """Rows 0 .. memorized - 1 are recited (EM = C), the rest is random text, in no cluster with another."""
    model = tiny.tiny_model(family, seed) if model is None else model
    generator = torch.Generator().manual_seed(seed + 1)
    ids = torch.randint(1, model.config.vocab_size, (memorized + others, P + C), generator=generator)
    if memorized:
        ids[:memorized, P:] = greedy_continuations(model, ids[:memorized, :P], C)
    paragraphs = ParagraphSet(ids, P, tuple(f"tiny:{row}" for row in range(len(ids))))
    scores = score(model, paragraphs)
    return Material(
        model=model,
        weights=eligible_weights(model),
        tokenizer=None,
        paragraphs=paragraphs,
        scores=scores,
        clusters=cluster_rows(ids),
        bins=bin_labels(scores.em, C),
        memorized=is_memorized(scores.em, C),
        non_memorized=is_non_memorized(scores.em, C),
        self_generated=False,
        frequency=torch.bincount(ids.flatten(), minlength=model.config.vocab_size),
        seed=seed,
        batch_size=batch_size,
        own=lambda rows: own_continuations(model, rows, score(model, rows).em),
        alternatives=lambda rows, replacements: find_alternatives(model, rows, replacements, seed),
    )
