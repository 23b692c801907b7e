"""LoRA as a protocol: a plain loop with factors in place, its count of parameters, stop rule, checkpoints and NaN."""

import copy
from functools import partial

import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from patched import holds
from tiny_runs import alike, naive_loss, same

from memunlearn.errors import UserError
from memunlearn.masks import AllWeights, RandomWeights, TopAttribution
from memunlearn.models import eligible_weights
from memunlearn.models.low_rank_delta import LowRankDelta
from memunlearn.objectives.contrastive import Edit, Unlearn
from memunlearn.paragraphs.batches import PairedEpochs
from memunlearn.unlearning.edits.lora import LoRA
from memunlearn.unlearning.stopping import StopRule

RANK, ALPHA = 2, 6.0


def naive(base, preparation, steps):
    """Dense changes after Adam on factors that are added to a plain model's weights by hand."""
    names = [weight.name for weight in eligible_weights(base)]
    generator, A, B = torch.Generator().manual_seed(5), {}, {}
    for name in names:
        weight = base.get_parameter(name)
        drawn = LowRankDelta(weight, rank=RANK, scale=1.0, transposed=False, generator=generator)
        A[name] = drawn.A.detach().clone().requires_grad_()
        B[name] = torch.zeros(weight.shape[0], RANK, requires_grad=True)
    optimizer = torch.optim.Adam([factor for name in names for factor in (A[name], B[name])], lr=1e-2, eps=1e-3)
    rows, retain = preparation.loss_rows, preparation.baselines["retain_train"].paragraphs
    plan = PairedEpochs(forget_rows=len(rows), retain_rows=len(retain), forget_batch=3, retain_batch=3, seed=7)
    for batch in [batch for epoch in range(steps) for batch in plan.epoch(epoch)][:steps]:
        model = copy.deepcopy(base)
        for name in names:
            model.get_parameter(name).data += (ALPHA / RANK * B[name] @ A[name]).detach()
        loss = naive_loss(model, base, rows.ids[batch["forget"]], retain.ids[batch["retain"]], -0.3, 2.0)
        loss.backward()
        optimizer.zero_grad()
        for name in names:
            g = model.get_parameter(name).grad
            A[name].grad = ALPHA / RANK * B[name].detach().T @ g
            B[name].grad = ALPHA / RANK * g @ A[name].detach().T
        optimizer.step()
    return {name: (ALPHA / RANK * B[name] @ A[name]).detach() for name in names}


def test_it_is_the_plain_loop(reciting, ingredients, preparation):
    base = copy.deepcopy(reciting)
    outcome = LoRA(rank=RANK, alpha=ALPHA).run(ingredients(objective=Unlearn(0.3, 2.0, max_token_nll=None)))
    assert outcome.steps == 8
    alike(outcome.patches[0].deltas, naive(base, preparation, 8), within=0.03)
    holds(outcome, base, reciting, preparation)
    assert all(flat is None for flat in outcome.patches[0].indices.values())
    assert outcome.k == outcome.eligible == sum(weight.size for weight in eligible_weights(base))


@pytest.mark.parametrize(
    "strategy",
    [TopAttribution(0.3), RandomWeights(fraction=0.2, components=["mlp_in", "mlp_out"]), AllWeights(layers=[0])],
    ids=["gradient", "random", "all"],
)
def test_it_trains_no_more_numbers_than_the_mask_has_weights(reciting, ingredients, strategy):
    shapes = {weight.name: weight.shape for weight in eligible_weights(reciting)}
    outcome = LoRA().run(ingredients(strategy=strategy, stop=StopRule(max_steps=1)))
    chosen = [shapes[name] for name in outcome.patches[0].deltas]
    k = outcome.eligible if isinstance(strategy, AllWeights) else round(strategy.fraction * outcome.eligible)
    a_rank = sum(rows + columns for rows, columns in chosen)
    rank = outcome.trained // a_rank
    assert outcome.trained == rank * a_rank <= k
    assert outcome.trained + a_rank > k or rank == min(min(shape) for shape in chosen)
    assert f"rank {rank} were trained for {len(chosen)} weight matrices, {outcome.trained:,} numbers" in outcome.done


@pytest.mark.parametrize("objective", [Unlearn(1.0, 0.1), Edit(1.0, 0.1)], ids=["unlearn", "edit"])
def test_the_rule_stops_it_and_the_best_state_is_kept(reciting, ingredients, preparation, editing, objective):
    base, edits = copy.deepcopy(reciting), objective.needs.alternatives
    rule = StopRule(every=2, forget_em=2.0, max_kl=100.0, max_steps=8, min_bystander_em=0)
    prepared = editing if edits else preparation
    outcome = LoRA(rank=2).run(ingredients(objective=objective, preparation=prepared, stop=rule))
    assert [checked.step for checked in outcome.trajectory][:3] == [0, 1, 2] and outcome.kept_step in range(9)
    assert (outcome.alternatives is not None) == edits
    if not edits:
        holds(outcome, base, reciting, preparation)
        assert float(outcome.sets["forget"].after.scores.em.double().mean()) < 9


def test_going_on_from_a_checkpoint_gives_the_same_patch(reciting, ingredients, tmp_path):
    """Checkpoints hold the factors, and no base weight."""
    base = copy.deepcopy(reciting)
    keep = ModelCheckpoint(tmp_path, "{step}", every_n_train_steps=1, save_top_k=-1)
    whole = LoRA(rank=2).run(ingredients([keep]))
    state = torch.load(tmp_path / "step=3.ckpt", weights_only=True)["state_dict"]
    assert len(state) == 2 * len(eligible_weights(base)) and {name[-4:] for name in state} == {".0.A", ".0.B"}
    resumed = LoRA(rank=2).run(ingredients(model=base, resume_from=tmp_path / "step=3.ckpt", mask_seed=99))
    assert same(resumed.patches[0].deltas, whole.patches[0].deltas)


def test_nan_keeps_the_factors_of_the_last_finite_loss(reciting, ingredients, preparation):
    base = copy.deepcopy(reciting)
    outcome = LoRA(rank=2).run(ingredients(optimizer=partial(torch.optim.SGD, lr=1e30)))
    assert outcome.stopped_because == "nan"
    holds(outcome, base, reciting, preparation)


def test_bf16_trains_the_same_change_as_the_patch_says(reciting, ingredients, preparation):
    base = copy.deepcopy(reciting)
    holds(LoRA(rank=2).run(ingredients(trainer={"precision": "bf16-mixed"})), base, reciting, preparation)


def of_the_run(*, deltas, context):
    raise AssertionError("made all the same")


def test_what_it_refuses(ingredients):
    for settings, says in (({"rank": 0}, "protocol.rank=0 must be a whole"), ({"alpha": -1.0}, "protocol.alpha=-1.0 must be")):
        with pytest.raises(UserError, match=says):
            LoRA(**settings)
    with pytest.raises(UserError, match=r"mask.fraction=0.01 is .* weights, and factors of rank 1 have .* or protocol.rank=1"):
        LoRA().run(ingredients(strategy=TopAttribution(0.01)))
    with pytest.raises(UserError, match="protocol.rank=25 is more than the 24 rows or columns"):
        LoRA(rank=25).run(ingredients())
    with pytest.raises(UserError, match="leave only a part of"):
        LoRA(rank=1).run(ingredients(strategy=AllWeights(heads=[1])))
    with pytest.raises(UserError, match="needs one of PyTorch's optimizers"):
        LoRA(rank=1).run(ingredients(optimizer=of_the_run))
