"""Models: loading them, what each weight is, changing chosen weights only, and the patch that records the change."""

from memunlearn.models.architectures import KINDS
from memunlearn.models.baking import bake, save_baked
from memunlearn.models.components import WeightTensor, count_per_component, eligible_weights, locate
from memunlearn.models.filters import Filter, passing_positions
from memunlearn.models.fingerprints import fingerprint
from memunlearn.models.loading import LoadedModel, ModelSource, load_model, load_tokenizer
from memunlearn.models.patches import Patch, apply_patch, capture_patch, load_patch, remove_patch, save_patch
from memunlearn.models.sparse_delta import (
    SparseDelta,
    attach,
    base_parameters,
    delta_parameters,
    detach,
    is_attached,
    read_deltas,
    write_deltas,
    zero_deltas,
)

__all__ = [
    "KINDS",
    "Filter",
    "LoadedModel",
    "ModelSource",
    "Patch",
    "SparseDelta",
    "WeightTensor",
    "apply_patch",
    "attach",
    "bake",
    "base_parameters",
    "capture_patch",
    "count_per_component",
    "delta_parameters",
    "detach",
    "eligible_weights",
    "fingerprint",
    "is_attached",
    "load_model",
    "load_patch",
    "load_tokenizer",
    "locate",
    "passing_positions",
    "read_deltas",
    "remove_patch",
    "save_baked",
    "save_patch",
    "write_deltas",
    "zero_deltas",
]
