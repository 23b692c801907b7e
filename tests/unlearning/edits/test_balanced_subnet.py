"""BalancedSubnet: a plain loop that trains scores on a plain model, whose dropped weights are set to 0 by hand."""

import copy

import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from patched import holds
from tiny_runs import same

from memunlearn.errors import UserError
from memunlearn.masks import AllWeights, TopAttribution
from memunlearn.models import eligible_weights
from memunlearn.models.subnet_delta import SubnetDelta
from memunlearn.objectives import by_rows
from memunlearn.objectives.contrastive import Edit
from memunlearn.paragraphs.batches import PairedEpochs
from memunlearn.unlearning.edits.balanced_subnet import BalancedSubnet
from memunlearn.unlearning.stopping import StopRule

P, C = 7, 9
PROTOCOL = BalancedSubnet(share=0.05, epochs=2, lr=3.0, clean_weight=0.3)


def first_scores(base, names):
    """As the protocol draws them: one matrix after the other with the mask's seed."""
    generator, drawn = torch.Generator().manual_seed(5), {}
    for name in names:
        weight = base.get_parameter(name)
        delta = SubnetDelta(weight, dropped=int(0.05 * weight.numel()), inputs=weight.shape[1], generator=generator)
        drawn[name] = delta.scores.detach().clone()
    return drawn


def mean_nll(model, ids):
    probabilities = model(input_ids=ids).logits.log_softmax(-1)
    nll = [-probabilities[row, i, ids[row, i + 1]] for row in range(len(ids)) for i in range(P - 1, P + C - 1)]
    return sum(nll) / len(nll)


def naive(base, preparation, names):
    """Which places are dropped of each matrix, after SGD with momentum on the scores."""
    scores, speed = first_scores(base, names), {}
    rows, retain = preparation.loss_rows, preparation.baselines["retain_train"].paragraphs
    plan = PairedEpochs(forget_rows=len(rows), retain_rows=len(retain), forget_batch=3, retain_batch=3, seed=7)

    def dropped():
        return {name: scores[name].abs().flatten().argsort(stable=True)[: int(0.05 * scores[name].numel())] for name in names}

    for batch in [batch for epoch in range(2) for batch in plan.epoch(epoch)]:
        model = copy.deepcopy(base).requires_grad_(False)
        for name, places in dropped().items():
            model.get_parameter(name).view(-1)[places] = 0
            model.get_parameter(name).requires_grad_()
        loss = 0.3 * mean_nll(model, retain.ids[batch["retain"]]) - 0.7 * mean_nll(model, rows.ids[batch["forget"]])
        loss.backward()
        for name in names:
            gradient = scores[name].sign() * base.get_parameter(name).detach() * model.get_parameter(name).grad
            gradient = gradient + 0.0005 * scores[name]
            speed[name] = gradient if name not in speed else 0.9 * speed[name] + gradient
            scores[name] = scores[name] - 3.0 * speed[name]
    return {name: places.sort().values for name, places in dropped().items()}


def test_it_drops_what_the_plain_loop_drops(reciting, ingredients, preparation):
    base = copy.deepcopy(reciting)
    names = [weight.name for weight in eligible_weights(base) if {"mlp_in", "mlp_out"} & set(weight.kind_names)]
    outcome = PROTOCOL.run(ingredients())
    after, expected = holds(outcome, base, reciting, preparation), naive(base, preparation, names)
    first = {name: drawn.abs().flatten().argsort()[: len(expected[name])] for name, drawn in first_scores(base, names).items()}
    assert outcome.patches[0].indices.keys() == expected.keys()
    agreeing = moved = total = 0
    for name, places in expected.items():
        found = set(outcome.patches[0].indices[name].tolist())
        agreeing += len(found & set(places.tolist()))
        moved += len(found - set(first[name].tolist()))
        total += len(places)
        zeroed = (after[name] == 0).flatten().nonzero().flatten().tolist()
        assert zeroed == sorted(found)
    assert agreeing >= 0.98 * total and moved > 0.3 * total  # scores that are all but equal may change places
    assert outcome.k == total and outcome.steps == 2 * 3 and outcome.stopped_because == "max_steps"
    assert outcome.eligible == sum(base.get_parameter(name).numel() for name in names)
    assert f"in each of {len(names)} matrices the 0.05" in outcome.done


def test_it_forgets_rather_than_learns(reciting, ingredients):
    """Trained scores, beside as many weights by scores as they are drawn."""
    base, rises = copy.deepcopy(reciting), []
    for lr, epochs in ((0.03, 20), (1e-9, 1)):
        protocol = BalancedSubnet(share=0.05, epochs=epochs, lr=lr, clean_weight=0.1)
        outcome = protocol.run(ingredients(model=copy.deepcopy(base)))
        forget, retain = outcome.sets["forget"], outcome.sets["retain"]
        rises.append([float((found.after.scores.nll - found.before.scores.nll).mean()) for found in (forget, retain)])
    (forgotten, kept), (by_chance, _) = rises
    assert forgotten > by_chance + 0.5 and forgotten > kept + 0.5


def test_going_on_from_a_checkpoint_gives_the_same_patch(reciting, ingredients, tmp_path):
    base = copy.deepcopy(reciting)
    keep = ModelCheckpoint(tmp_path, "{step}", every_n_train_steps=1, save_top_k=-1)
    whole = PROTOCOL.run(ingredients([keep]))
    resumed = PROTOCOL.run(ingredients(model=base, resume_from=tmp_path / "step=4.ckpt"))
    assert same(resumed.patches[0].indices, whole.patches[0].indices) and resumed.done == whole.done


def test_nan_ends_it_with_the_subnetwork_of_the_last_loss(reciting, ingredients, preparation, monkeypatch):
    base, calls = copy.deepcopy(reciting), []
    from memunlearn.unlearning.edits import balanced_subnet

    def poisoned(side):
        calls.append(1)
        return by_rows.mean_nll(side) * (float("nan") if len(calls) > 2 else 1.0)

    monkeypatch.setattr(balanced_subnet, "mean_nll", poisoned)
    outcome = PROTOCOL.run(ingredients())
    assert outcome.stopped_because == "nan" and outcome.kept_step is not None and outcome.kept_step <= outcome.steps
    holds(outcome, base, reciting, preparation)


def test_the_filter_of_the_mask_chooses_the_matrices(reciting, ingredients):
    strategy = TopAttribution(0.3, layers=[1], components=["out", "mlp_in"])
    outcome = BalancedSubnet(share=0.05, epochs=1).run(ingredients(strategy=strategy))
    assert {component for component, count in outcome.per_component.items() if count} == {"1.out", "1.mlp_in"}


def test_what_it_refuses(ingredients):
    for settings, says in (
        ({"share": 0.0}, "protocol.share=0.0 must be between 0 and 1"),
        ({"epochs": 0}, "protocol.epochs=0 must be 1 or more"),
        ({"clean_weight": 1.0}, "protocol.clean_weight=1.0 must be"),
        ({"lr": 0.0}, "protocol.lr=0.0 must be above 0"),
        ({"momentum": 1.0}, "protocol.momentum=1.0 from 0 to below 1"),
    ):
        with pytest.raises(UserError, match=says):
            BalancedSubnet(**settings)
    with pytest.raises(UserError, match="is not even one: give at least 0.001"):
        BalancedSubnet(share=1e-5).run(ingredients())
    with pytest.raises(UserError, match="takes no stop rule: add stop=none"):
        BalancedSubnet().run(ingredients(stop=StopRule()))
    with pytest.raises(UserError, match="objective=Edit has no part in it"):
        BalancedSubnet().run(ingredients(objective=Edit()))
    with pytest.raises(UserError, match="leave only a part of"):
        BalancedSubnet(share=0.1).run(ingredients(strategy=AllWeights(components=["q"], heads=[1])))
    with pytest.raises(UserError, match="one step a batch: set accumulate=1"):
        BalancedSubnet(share=0.1).run(ingredients(trainer={"accumulate_grad_batches": 2}))
