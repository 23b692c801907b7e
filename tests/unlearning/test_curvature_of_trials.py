"""optimizer=kfac, one paragraph at a time: curvature is measured once, of what the masks may choose from."""

import gc
import weakref

import pytest
import torch
from tiny_runs import quiet_trainer

from memunlearn.curvature.measure import measure_curvature, with_inputs_of
from memunlearn.localization.weight_attribution import Gradient
from memunlearn.masks import TopAttribution
from memunlearn.models import eligible_weights
from memunlearn.objectives.contrastive import Unlearn
from memunlearn.unlearning import kfac
from memunlearn.unlearning.ingredients import Ingredients
from memunlearn.unlearning.kfac import Kfac
from memunlearn.unlearning.kfac_steps import KfacSteps
from memunlearn.unlearning.per_paragraph import PerParagraph


@pytest.mark.slow
@pytest.mark.parametrize("components", [None, ["mlp_in", "v"]])
def test_it_is_measured_once_of_what_masks_may_choose_from(reciting, preparation, components, monkeypatch):
    weights, measured, forgotten = eligible_weights(reciting), [], []

    def reading(model, factors, paragraphs, weight, batch_size):
        gc.collect()
        solved_with.append(sum(steps() is not None for steps in made))
        forgotten.append(paragraphs.ids)
        return with_inputs_of(model, factors, paragraphs, weight, batch_size)

    def stepping(*arguments, **settings):
        steps = KfacSteps(*arguments, **settings)
        made.append(weakref.ref(steps))
        return steps

    made, solved_with = [], []
    monkeypatch.setattr(kfac, "with_inputs_of", reading)
    monkeypatch.setattr(kfac, "KfacSteps", stepping)

    def watched(model, weights, paragraphs, how=None, **settings):
        measured.append([weight.name for weight in weights])
        return measure_curvature(model, weights, paragraphs, how, **settings)

    given = Ingredients(
        model=reciting,
        weights=weights,
        preparation=preparation,
        strategy=TopAttribution(0.01, components=components),
        attribution=Gradient(),
        objective=Unlearn(),
        optimizer=Kfac(max_kl=1e-3),
        stop=None,
        make_trainer=quiet_trainer(99),
        batch_size=4,
        seed=1,
        mask_seed=1,
        measure_curvature=watched,
    )
    outcome = PerParagraph(trials=3, steps=2, retain_batch=2).run(given)
    assert all(any(delta.any() for delta in patch.deltas.values()) for patch in outcome.patches)
    assert measured == [[w.name for w in weights if components is None or set(w.kind_names) <= set(components)]]
    order = torch.randperm(len(preparation.loss_rows), generator=torch.Generator().manual_seed(given.seed))
    assert [rows.tolist() for rows in forgotten] == [preparation.loss_rows.ids[[row]].tolist() for row in order[:3].tolist()]
    assert solved_with == [0, 0, 0] and len(made) == 3, "one trial's solvers are there while the next one's are made"
