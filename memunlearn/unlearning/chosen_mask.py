"""The mask of a run on all forget paragraphs at once: chosen, or that of the checkpoint it goes on from."""

from __future__ import annotations

from memunlearn.masks.selection import Mask, select_all
from memunlearn.models.filters import Filter
from memunlearn.several_processes import of_the_first
from memunlearn.unlearning.checkpoints import checkpoint_mask, not_readable
from memunlearn.unlearning.ingredients import Ingredients


def chosen_mask(given: Ingredients) -> Mask:
    """Nothing is attributed or drawn again where the run goes on. Raises UserError where the checkpoint is of another model."""
    if given.resume_from is None:
        return of_the_first(lambda: given.mask_for(given.preparation.loss_rows, given.mask_seed))
    indices = checkpoint_mask(given.resume_from)
    sizes = {weight.name: weight.size for weight in given.weights}
    if not all(name in sizes and (flat is None or (flat < sizes[name]).all()) for name, flat in indices.items()):
        raise not_readable(given.resume_from, ValueError())
    counts = {name: sizes[name] if flat is None else len(flat) for name, flat in indices.items()}
    strategy = given.strategy
    eligible = select_all(given.weights, Filter(strategy.layers, strategy.components, strategy.heads)).eligible
    return Mask(indices, counts, eligible)
