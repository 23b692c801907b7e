"""Which rows are memorized, seen and unseen. A cluster of near-duplicates that the model recites is shown as nothing else."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from benchmarks.stage.recipe import Recipe
from memunlearn.errors import UserError
from memunlearn.paragraphs.cluster_choice import number_generator, whole_clusters
from memunlearn.paragraphs.clusters import cluster_rows

LARGEST = 8
"""Rows of a cluster that may be memorized, seen or unseen: a licence that stands in every other file would fill a set alone."""


@dataclass(frozen=True)
class StageRows:
    """Rows [n, I] by what the model is shown of them.

    memorized: again and again. seen: now and then. unseen: never, and nothing that shares a cluster with one.
    background: now and then; the seen rows, then text. No cluster has two of memorized, background and unseen.
    """

    memorized: Tensor
    seen: Tensor
    unseen: Tensor
    background: Tensor

    @property
    def corpus(self) -> dict[str, Tensor]:
        """What there is to split by EM, by role."""
        return {"memorized": self.memorized, "seen": self.seen, "unseen": self.unseen}

    def sha(self) -> str:
        """sha256 of all rows, in order."""
        digest = hashlib.sha256()
        for rows in (self.memorized, self.seen, self.unseen, self.background):
            digest.update(str(tuple(rows.shape)).encode() + rows.numpy().tobytes())
        return digest.hexdigest()


def assign_roles(candidates: Tensor, text: Tensor, recipe: Recipe, seed: int) -> StageRows:
    """candidates: rows [N, I] that may be memorized, seen or unseen. text: more rows [W, I] for the background.

    Clusters of at most LARGEST candidates, in random order, are memorized, then unseen, then seen: whole, but for the last of
    each role, so that a memorized row's near-duplicates are mostly memorized too. The background is any other rows.
    Raises UserError if there are too few candidates.
    """
    everything = torch.cat([candidates, text])
    clusters = cluster_rows(everything).numpy()
    own = clusters[: len(candidates)]
    free = np.flatnonzero(np.bincount(own)[own] <= LARGEST)
    chosen = {}
    for role, count in (("memorized", recipe.memorized), ("unseen", recipe.unseen), ("seen", recipe.seen)):
        chosen[role] = whole_clusters(free, clusters, count, number_generator(seed, role))
        if len(chosen[role]) < count:
            raise UserError(
                f"{len(candidates)} rows, without clusters of more than {LARGEST} near-duplicates, are too few for "
                f"{recipe.memorized} memorized, {recipe.unseen} unseen and {recipe.seen} seen ones: "
                "give more rows or text, or choose a smaller --size"
            )
        free = free[~np.isin(clusters[free], clusters[chosen[role]])]
    apart = ~np.isin(clusters, clusters[np.concatenate([chosen["memorized"], chosen["unseen"]])])
    others = number_generator(seed, "background").permutation(np.setdiff1d(np.flatnonzero(apart), chosen["seen"]))
    background = np.concatenate([chosen["seen"], others])[: recipe.background]
    return StageRows(**{role: everything[positions] for role, positions in chosen.items()}, background=everything[background])
