"""A change that is computed, not trained, made in the model and kept."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from memunlearn.models.patches import capture_change
from memunlearn.models.sparse_delta import attach, write_deltas
from memunlearn.unlearning.ingredients import Ingredients
from memunlearn.unlearning.stopping import StopAndKeep
from memunlearn.unlearning.training import DEFAULT_STOP, Training


def carry_out(given: Ingredients, indices: Mapping[str, Tensor | None], deltas: Mapping[str, Tensor]) -> Training:
    """The model carries these deltas (as in `Patch`), and what they make is kept before anything is measured; no step is
    taken."""
    attach(given.model, indices)
    write_deltas(given.model, deltas)
    patch = given.patch_of(None, capture_change(given.model, given.preparation.roles))
    look = StopAndKeep(DEFAULT_STOP, given.preparation, 2 * given.batch_size)
    return Training(steps=0, kept_step=None, stopped_because="max_steps", patch=patch, kept_check=look.check(given.model, 0))
