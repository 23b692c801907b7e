"""How well NLL, of continuations and of prefixes, tells memorized from non-memorized paragraphs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from memunlearn.analyses.em_nll.measure import Measured
from memunlearn.analyses.material import Material
from memunlearn.paragraphs.bins import is_memorized, is_non_memorized
from memunlearn.statistics.estimates import means_with_intervals
from memunlearn.statistics.two_groups import NOTHING, Comparison, auroc


@dataclass(frozen=True)
class Compared:
    """area, prefix_area: AUROC of -NLL of continuations and of prefixes. by_definition: whether EM has made the groups."""

    area: Comparison
    prefix_area: Comparison
    by_definition: bool
    numbers: dict[str, Any]


def compare(measured: Measured, material: Material) -> Compared:
    clusters, compared = material.clusters.numpy(), measured.compared
    of_two = measured.memorized[compared], clusters[compared]
    area = auroc(-measured.nll[compared], *of_two)
    prefix_area = auroc(-measured.prefix_nll, *of_two) if len(measured.prefix_nll) else NOTHING
    by_definition = _made_by_em(material)
    numbers: dict[str, Any] = {"n": len(clusters), "clusters": len(np.unique(clusters)), "bins": {}}
    for label, member in measured.members.items():
        numbers["bins"][label] = {"n": int(member.sum())} | {
            name: means_with_intervals(values[member], clusters[member], material.seed, limits=(0.0, most)).numbers()
            for name, values, most in (
                ("em", measured.em, material.paragraphs.continuation_length),
                ("nll", measured.nll, np.inf),
            )
        }
    numbers |= {
        "auroc": area.numbers(),
        "auroc_by_definition": by_definition,
        "prefix_auroc": prefix_area.numbers(),
        "memorized": int(material.memorized.sum()),
        "non_memorized": int(material.non_memorized.sum()),
        "self_generated": material.self_generated,
    }
    return Compared(area, prefix_area, by_definition, numbers)


def _made_by_em(material: Material) -> bool:
    """Whether all memorized rows are recited whole, and no other row comes near: then EM made the groups, or could have."""
    em, length = material.scores.em, material.paragraphs.continuation_length
    recited, others = em[material.memorized], em[material.non_memorized]
    return bool(is_memorized(recited, length).all() and is_non_memorized(others, length).all())
