"""What the tests of kept measurements ask for: one request of any kind, and a store."""

import dataclasses

import pytest
import torch

from memunlearn.caching.store import Store
from memunlearn.commands.base_measurements import BaseMeasurements
from memunlearn.curvature.passes import Reading
from memunlearn.localization.weight_attribution import (
    Contrastive,
    Fisher,
    Gradient,
    GradientTimesWeight,
    Preconditioned,
    attribute,
)
from memunlearn.models.components import eligible_weights

P, C = 7, 9
METHODS = {
    "gradient": Gradient(),
    "times_weight": GradientTimesWeight(),
    "contrastive": Contrastive(),
    "fisher": Fisher(),
    "kfac": Preconditioned(),
}
ATTRIBUTIONS = tuple(METHODS)
ALL = ("scores", "baseline", "hidden", "alternatives", "curvature", *ATTRIBUTIONS)


@dataclasses.dataclass(frozen=True)
class Asked:
    """One request, of any kind."""

    model: torch.nn.Module
    rows: object
    retain: object
    names: tuple
    seed: int = 3
    batch_size: int = 4
    replacements: int = 2
    with_own: bool = True
    method: object = None
    clusters: tuple = (0, 1, 2, 3, 4)
    block: str = "transformer.h.0"
    name: str = "forget"
    positions: str = "continuation"
    eigenvalues: bool = False

    def of(self, what, store):
        """The tensors that this kind of measurement gives."""
        kept = BaseMeasurements.of(self.model, store)
        if what == "scores":
            return tensors_of(kept.scores(self.rows, self.batch_size, self.name))
        if what == "baseline":
            clusters = torch.tensor(self.clusters)
            return kept.baseline(
                self.model, self.rows, clusters, batch_size=self.batch_size, name=self.name, with_own=self.with_own
            )
        if what == "alternatives":
            return kept.alternatives(self.model, self.rows, self.replacements, self.seed, self.batch_size)
        if what == "curvature":
            weights = [weight for weight in eligible_weights(self.model) if weight.name in self.names]
            how = Reading(self.positions, batch_size=self.batch_size, seed=self.seed)
            return kept.curvature(self.model, weights, self.rows, how, eigenvalues=self.eigenvalues)
        if what == "hidden":
            return {"hidden": kept.hidden_states(self.model, self.block, self.rows, self.batch_size)}
        method = kept.attribution(self.method or METHODS[what])
        return attribute(
            self.model, self.names, self.rows, self.retain, method=method, batch_size=self.batch_size, seed=self.seed
        )


def tensors_of(scores):
    return scores.tensors()


@pytest.fixture
def asked(reciting, sets):
    names = tuple(weight.name for weight in eligible_weights(reciting))
    return Asked(reciting, sets.forget, sets.retain_train, names)


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "store")
