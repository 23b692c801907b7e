"""paragraphs.forget_text=own: forgetting what the model says by itself, to compare with forgetting what it has memorized.

The forget set is made of non-memorized paragraphs' prefixes with the model's own greedy continuations of them: text of which
EM is C like that of memorized text, but which was not learned by heart. All memorized rows are bystanders then.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from memunlearn.errors import UserError
from memunlearn.paragraphs.bins import is_memorized, is_non_memorized
from memunlearn.paragraphs.caps import Caps
from memunlearn.paragraphs.cluster_choice import number_generator, whole_clusters
from memunlearn.paragraphs.clusters import clusters_of
from memunlearn.paragraphs.paragraph_set import ParagraphSet, concatenate
from memunlearn.paragraphs.splits import ParagraphSets, forget_rows, sets_around

Continue = Callable[[Tensor], Tensor]
"""What the model says: from prefixes [n, P] to continuations [n, C]."""


def own_of_corpus(corpus: ParagraphSet, em: Tensor, seed: int, caps: Caps, say: Continue) -> ParagraphSets:
    """Sets of a mixed corpus; em as in `split_by_em`. Raises UserError where too few paragraphs are non-memorized."""
    memorized = is_memorized(em, corpus.continuation_length).cpu().numpy()
    non_memorized = is_non_memorized(em, corpus.continuation_length).cpu().numpy()
    return _own(corpus, memorized, non_memorized, seed=seed, caps=caps, say=say)


def own_of_pools(memorized: ParagraphSet, non_memorized: ParagraphSet, seed: int, caps: Caps, say: Continue) -> ParagraphSets:
    """Sets of two pools whose roles are known from their origin. Raises as `own_of_corpus` does."""
    everything = concatenate([memorized, non_memorized])
    from_memorized = np.arange(len(everything)) < len(memorized)
    return _own(everything, from_memorized, ~from_memorized, seed=seed, caps=caps, say=say)


def _own(
    corpus: ParagraphSet, memorized: np.ndarray, non_memorized: np.ndarray, *, seed: int, caps: Caps, say: Continue
) -> ParagraphSets:
    forget = _choose(clusters_of(corpus).numpy(), memorized, non_memorized, seed, caps)
    # What the model says may be near text that its prefix's own continuation was not: clusters are those of the new text.
    continuations = corpus.continuations.clone()
    continuations[torch.from_numpy(forget)] = say(corpus.prefixes[torch.from_numpy(forget)]).to(continuations)
    spoken = replace(corpus, ids=torch.cat([corpus.prefixes, continuations], dim=1))
    return sets_around(
        spoken, clusters_of(spoken).numpy(), memorized, non_memorized=non_memorized, forget=forget, seed=seed, caps=caps
    )


def _choose(clusters: np.ndarray, memorized: np.ndarray, non_memorized: np.ndarray, seed: int, caps: Caps) -> np.ndarray:
    """As many rows as would be forgotten of the memorized ones, unrelated to them; whole clusters, but possibly the last."""
    pool, candidates = np.flatnonzero(memorized), np.flatnonzero(non_memorized)
    wanted = forget_rows(len(pool), caps)
    unrelated = candidates[~np.isin(clusters[candidates], clusters[pool])]
    chosen = whole_clusters(unrelated, clusters, wanted, number_generator(seed, "own"))
    left = np.setdiff1d(clusters[unrelated], clusters[chosen])
    if len(left) < 3:
        raise UserError(
            f"paragraphs.forget_text=own takes {len(chosen)} of {len(unrelated)} non-memorized paragraphs and leaves "
            f"{len(left)} clusters of them, but retain_train, retain_val and retain need 3: lower paragraphs.max_forget or add "
            "paragraphs"
        )
    return chosen
