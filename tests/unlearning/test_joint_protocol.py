"""The joint protocol: mask, training and measurement put together, from scratch and from a checkpoint."""

import copy
from dataclasses import replace
from functools import partial

import naive_scoring as naive
import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from tiny_runs import C, bits, deltas_of, quiet_trainer, same

from memunlearn.localization.weight_attribution import Gradient, attribute
from memunlearn.masks import AllWeights, RandomWeights, TopAttribution, select_top
from memunlearn.models import apply_patch, bake, count_per_component, eligible_weights, is_attached
from memunlearn.objectives.contrastive import Edit, Unlearn
from memunlearn.scoring.score import score
from memunlearn.unlearning.ingredients import Ingredients
from memunlearn.unlearning.joint import Joint
from memunlearn.unlearning.stopping import StopRule

RULE = StopRule(every=2, forget_em=2.0, max_kl=100.0, max_steps=8)


@pytest.fixture
def ingredients(reciting, preparation):
    def make(extra=(), model=reciting, **changes):
        given = Ingredients(
            model=model,
            weights=eligible_weights(model),
            preparation=preparation,
            strategy=TopAttribution(0.3),
            attribution=Gradient(),
            objective=Unlearn(1.0, 0.1),
            optimizer=partial(torch.optim.Adam, lr=1e-2),
            stop=RULE,
            make_trainer=quiet_trainer(8, extra),
            batch_size=3,
            seed=7,
            mask_seed=7,
        )
        return replace(given, **changes)

    return make


def test_a_run_reports_what_the_patched_model_does(reciting, ingredients, preparation, sets):
    base, before = copy.deepcopy(reciting), bits(reciting)
    outcome = Joint().run(ingredients())
    assert outcome.sets.keys() == {"forget", "bystander", "near", "retain"}
    (patch,) = outcome.patches
    unlearned = copy.deepcopy(base)
    apply_patch(unlearned, patch)
    for name, found in outcome.sets.items():
        rows = getattr(sets, name)
        after = score(unlearned, rows, reference=preparation.baselines[name].states)
        assert torch.equal(found.paragraphs.ids, rows.ids) and found.index.tolist() == list(range(len(rows)))
        assert torch.equal(found.after.scores.em, after.em) and torch.equal(found.before.scores.em, score(base, rows).em)
        torch.testing.assert_close(found.after.scores.kl, after.kl, rtol=1e-3, atol=1e-6)
        for row, prefix in enumerate(rows.prefixes):
            said = [naive.greedy(model, prefix, C)[0] for model in (base, unlearned)]
            assert int(found.after.own["self_em"][row]) == naive.agreement(*said)
            assert torch.equal(found.said.before[row], said[0]) and torch.equal(found.said.after[row], said[1])
            runs = [naive.common_run(one, found.paragraphs.continuations[row]) for one in said]
            assert [int(v["longest_common_run"][row]) for v in (found.said.values_before, found.said.values_after)] == runs
        assert found.said.rows.tolist() == found.index.tolist() and found.trial is None
    assert float(outcome.sets["forget"].after.scores.em.double().mean()) < 9
    assert is_attached(reciting) and same(bits(reciting), before) and same(bits(bake(reciting)), bits(bake(unlearned)))


def test_the_mask_comes_from_the_whole_set_of_loss_rows(reciting, ingredients, preparation, editing):
    base = copy.deepcopy(reciting)
    names = [weight.name for weight in eligible_weights(base)]
    for prepared, objective in ((preparation, Unlearn()), (editing, Edit())):
        model = copy.deepcopy(base)
        outcome = Joint().run(ingredients(model=model, preparation=prepared, objective=objective, stop=StopRule(max_steps=1)))
        scores = attribute(
            base, names, prepared.loss_rows, prepared.baselines["retain_train"].paragraphs, method=Gradient(), batch_size=6
        )
        mask = select_top(scores, eligible_weights(base), 0.3)
        indices = outcome.patches[0].indices
        assert (
            all(torch.equal(indices[name], flat) for name, flat in mask.indices.items())
            and indices.keys() == mask.indices.keys()
        )
        assert (outcome.k, outcome.eligible) == (mask.k, mask.eligible)
        assert outcome.per_component == count_per_component(mask.indices, eligible_weights(base))


def test_alternatives_before_and_after(reciting, ingredients, editing):
    base = copy.deepcopy(reciting)
    outcome = Joint().run(ingredients(preparation=editing, objective=Edit(1.0, 0.1), stop=None))
    rows = editing.loss_rows
    assert torch.equal(outcome.alternatives.before.em, score(base, rows).em)
    torch.testing.assert_close(outcome.alternatives.after.nll, score(reciting, rows).nll, rtol=1e-4, atol=1e-5)
    assert float(outcome.alternatives.after.nll.mean()) < float(outcome.alternatives.before.nll.mean())
    assert outcome.alternatives.rows.tolist() == editing.loss_positions
    assert Joint().run(ingredients(model=base, stop=StopRule(max_steps=1))).alternatives is None


def test_empty_sets_are_left_out(reciting, ingredients, preparation):
    none = torch.empty(0, dtype=torch.int64)
    baselines = {**preparation.baselines}
    for name in ("bystander", "near", "bystander_val"):
        baselines[name] = baselines[name].select(none)
    outcome = Joint().run(ingredients(preparation=replace(preparation, baselines=baselines), stop=StopRule(max_steps=1)))
    assert outcome.sets.keys() == {"forget", "retain"}


STRATEGIES = [TopAttribution(0.3, layers=[1]), RandomWeights(fraction=0.2), AllWeights(components=["v", "mlp_in"])]


@pytest.mark.parametrize("strategy", STRATEGIES, ids=lambda strategy: type(strategy).__name__)
def test_going_on_from_a_checkpoint_gives_the_same_outcome(reciting, ingredients, strategy, tmp_path):
    """Its mask is the checkpoint's: nothing is attributed or drawn again."""
    base = copy.deepcopy(reciting)
    keep = ModelCheckpoint(tmp_path, "{step}", every_n_train_steps=1, save_top_k=-1)
    whole = Joint().run(ingredients([keep], strategy=strategy))

    def unwanted(*_):
        raise AssertionError("attributed again")

    resumed = Joint().run(
        ingredients(model=base, strategy=strategy, attribution=unwanted, resume_from=tmp_path / "step=3.ckpt", seed=7)
    )
    assert same(resumed.patches[0].deltas, whole.patches[0].deltas) and same(deltas_of(base), deltas_of(reciting))
    for field in ("k", "eligible", "per_component", "steps", "kept_step", "stopped_because"):
        assert getattr(resumed, field) == getattr(whole, field), field
