"""Parts of the keys of what is kept of the base model: which rows, weights and metrics."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from memunlearn.caching.keys import tensor_digest
from memunlearn.curvature.measure import output_blocks
from memunlearn.models.components import WeightTensor
from memunlearn.paragraphs.paragraph_set import ParagraphSet
from memunlearn.scoring.sampling import Sampling
from memunlearn.scoring.score import metrics_of_pass


def blocks_in_key(weights: Sequence[WeightTensor], all_weights: Sequence[WeightTensor]) -> dict[str, list[str]]:
    """By the weight's name, which of its outputs share a factor: model.patterns says so, and is no part of the model."""
    return {
        weight.name: [tensor_digest(features) for features in output_blocks(weight, all_weights)]
        for weight in sorted(weights, key=lambda weight: weight.name)
    }


def metrics_in_key(details: bool, compared: bool, sampling: Sampling | None) -> dict[str, Any]:
    """What is scored: an entry without a metric that has come since is of no use."""
    metrics = metrics_of_pass(details, compared, sampling is not None)
    scheme = {} if sampling is None else {"sampling": dataclasses.asdict(sampling)}
    return {"metrics": [metric.key for metric in metrics], **scheme}


def rows_in_key(paragraphs: ParagraphSet) -> dict[str, Any]:
    """What the rows say, not where they came from."""
    return {
        "ids": tensor_digest(paragraphs.ids),
        "prefix_length": paragraphs.prefix_length,
        "continuation_length": paragraphs.continuation_length,
    }
