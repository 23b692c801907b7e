"""The task vector: a plain fine-tuning on the forget rows, turned round."""

import copy
import math
from functools import partial

import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from patched import holds
from tiny_runs import alike, deltas_of, same

from memunlearn.errors import UserError
from memunlearn.masks import AllWeights, TopAttribution
from memunlearn.objectives.contrastive import Edit
from memunlearn.paragraphs.batches import PairedEpochs
from memunlearn.unlearning.edits.task_vector import TaskVector
from memunlearn.unlearning.stopping import StopRule

P, C = 7, 9


def fine_tuned(base, preparation, indices, steps):
    """What the changes are after plain steps of Adam on the forget rows' NLL, gradients outside the mask set to 0 by hand."""
    model = copy.deepcopy(base).requires_grad_(False)
    weights = {name: model.get_parameter(name).requires_grad_() for name in indices}
    optimizer = torch.optim.Adam(list(weights.values()), lr=1e-2, eps=1e-3)
    rows, retain = preparation.loss_rows, preparation.baselines["retain_train"].paragraphs
    plan = PairedEpochs(forget_rows=len(rows), retain_rows=len(retain), forget_batch=3, retain_batch=3, seed=7)
    batches = [batch for epoch in range(steps) for batch in plan.epoch(epoch)][:steps]
    for batch in batches:
        ids = rows.ids[batch["forget"]]
        optimizer.zero_grad()
        probabilities = model(input_ids=ids).logits.log_softmax(-1)
        nll = [-probabilities[row, i, ids[row, i + 1]] for row in range(len(ids)) for i in range(P - 1, P + C - 1)]
        (sum(nll) / len(nll)).backward()
        for name, weight in weights.items():
            if indices[name] is not None:
                weight.grad *= torch.zeros(weight.numel()).index_fill(0, indices[name], 1.0).view_as(weight)
        optimizer.step()
    changes = {name: (weight - base.get_parameter(name)).detach() for name, weight in weights.items()}
    return {name: d if indices[name] is None else d.flatten()[indices[name]] for name, d in changes.items()}


@pytest.mark.parametrize("strategy", [TopAttribution(0.3), AllWeights(components=["mlp_in"])], ids=["some", "whole"])
def test_it_is_plain_fine_tuning_turned_round(reciting, ingredients, preparation, strategy):
    base = copy.deepcopy(reciting)
    indices = ingredients(model=copy.deepcopy(base), strategy=strategy).mask_for(preparation.loss_rows, 5).indices
    outcome = TaskVector(steps=5, scale=2.5).run(ingredients(strategy=strategy))
    expected = {name: -2.5 * delta for name, delta in fine_tuned(base, preparation, indices, 5).items()}
    alike(outcome.patches[0].deltas, expected, within=0.02)
    holds(outcome, base, reciting, preparation)
    assert (outcome.steps, outcome.kept_step, outcome.stopped_because) == (5, None, "max_steps")
    assert "for 5 steps, and 2.5 times" in outcome.done
    before, after = outcome.sets["forget"].before.scores.nll, outcome.sets["forget"].after.scores.nll
    assert float(after.mean()) > float(before.mean())  # it forgets, rather than learns


def test_going_on_from_a_checkpoint_gives_the_same_patch(reciting, ingredients, tmp_path):
    base = copy.deepcopy(reciting)
    keep = ModelCheckpoint(tmp_path, "{step}", every_n_train_steps=1, save_top_k=-1)
    whole = TaskVector(steps=4).run(ingredients([keep]))

    def unwanted(*_):
        raise AssertionError("attributed again")

    resumed = TaskVector(steps=4).run(ingredients(model=base, attribution=unwanted, resume_from=tmp_path / "step=2.ckpt"))
    assert same(resumed.patches[0].deltas, whole.patches[0].deltas) and same(deltas_of(base), deltas_of(reciting))
    assert resumed.done == whole.done


def test_nan_ends_it_and_the_last_good_change_is_taken(reciting, ingredients, preparation):
    base = copy.deepcopy(reciting)
    outcome = TaskVector(steps=6).run(ingredients(optimizer=partial(torch.optim.SGD, lr=1e30)))
    assert outcome.stopped_because == "nan" and outcome.kept_step == 0
    holds(outcome, base, reciting, preparation)
    assert all(bool(delta.isfinite().all()) for delta in outcome.patches[0].deltas.values())


def test_what_it_refuses(ingredients):
    for scale in (0.0, -1.0, math.inf, math.nan):
        with pytest.raises(UserError, match=r"protocol.scale=.* must be above 0"):
            TaskVector(scale=scale)
    with pytest.raises(UserError, match="protocol.steps=0 must be 1 or more"):
        TaskVector(steps=0)
    with pytest.raises(UserError, match="takes no stop rule: add stop=none"):
        TaskVector().run(ingredients(stop=StopRule()))
    with pytest.raises(UserError, match="objective=Edit has no part in it"):
        TaskVector().run(ingredients(objective=Edit()))
