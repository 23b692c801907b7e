"""Training on all forget paragraphs at once, with what a run is made of."""

from __future__ import annotations

from functools import partial

from memunlearn.masks.selection import Mask
from memunlearn.models.sparse_delta import MakeDelta, sparse_delta
from memunlearn.unlearning.hand_over import KeepChange
from memunlearn.unlearning.ingredients import Ingredients
from memunlearn.unlearning.training import Training, unlearn


def train_all_rows(
    given: Ingredients, mask: Mask, make_delta: MakeDelta = sparse_delta, keep_change: KeepChange | None = None
) -> Training:
    """`unlearn` with these ingredients. make_delta, keep_change: as there; what was trained is kept where the run keeps it."""
    return unlearn(
        given.model,
        mask,
        given.preparation,
        given.objective,
        given.optimizer,
        stop=given.stop,
        make_trainer=given.make_trainer,
        batch_size=given.batch_size,
        protected_share=given.protected_share,
        seed=given.seed,
        weights=given.weights,
        make_delta=make_delta,
        measure_curvature=given.measure_curvature,
        rehearsal=given.rehearsal,
        resume_from=given.resume_from,
        keep_change=keep_change or partial(given.patch_of, None),
    )
