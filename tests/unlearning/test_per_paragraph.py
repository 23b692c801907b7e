"""The paper's protocol: every trial is the plain loop from the base model, and the base model comes back bit for bit."""

import copy
from dataclasses import replace
from functools import partial

import naive_scoring as naive
import pytest
import torch
from tiny_runs import C, P, Poisoned, Recorder, alike, bits, naive_training, quiet_trainer, same

from memunlearn.errors import UserError
from memunlearn.localization.weight_attribution import Gradient
from memunlearn.masks import RandomWeights, TopAttribution
from memunlearn.models import apply_patch, count_per_component, eligible_weights, is_attached
from memunlearn.objectives.contrastive import Edit, Unlearn
from memunlearn.paragraphs.batches import Trials
from memunlearn.scoring.score import score
from memunlearn.unlearning import trials
from memunlearn.unlearning.ingredients import Ingredients
from memunlearn.unlearning.per_paragraph import PerParagraph
from memunlearn.unlearning.stopping import StopRule

ADAM = partial(torch.optim.Adam, lr=3e-3, eps=1e-3)
PROTOCOL = PerParagraph(trials=4, steps=3, retain_batch=3)
SEED, FRACTION = 11, 0.1


@pytest.fixture
def ingredients(reciting, preparation):
    def make(**changes):
        recorder, made = Recorder(), []
        settings = {name: changes.pop(name) for name in ("accumulate_grad_batches", "precision") if name in changes}
        given = Ingredients(
            model=reciting,
            weights=eligible_weights(reciting),
            preparation=preparation,
            strategy=TopAttribution(FRACTION),
            attribution=Gradient(),
            objective=Unlearn(0.3, 5.0),
            optimizer=ADAM,
            stop=None,
            make_trainer=quiet_trainer(99, [recorder], made, **settings),
            batch_size=4,
            seed=SEED,
            mask_seed=SEED,
        )
        return replace(given, **changes), recorder, made

    return make


def chosen_rows(preparation, trials=4):
    """The loss rows of the trials, in order."""
    return torch.randperm(len(preparation.loss_rows), generator=torch.Generator().manual_seed(SEED))[:trials].tolist()


def naive_top(model, ids, fraction=FRACTION):
    """Flat positions per tensor of the weights with the largest |gradient| of these rows' NLL."""
    model = copy.deepcopy(model).requires_grad_(True)
    logits = model(input_ids=ids).logits[:, P - 1 : -1].log_softmax(-1)
    (-logits.gather(2, ids[:, P:].unsqueeze(2)).mean()).backward()
    sizes = {weight.name: weight.size for weight in eligible_weights(model)}
    everything = torch.cat([model.get_parameter(name).grad.abs().flatten() for name in sizes])
    top = everything.topk(round(fraction * len(everything))).indices.sort().values
    chosen, start = {}, 0
    for name, size in sizes.items():
        inside = top[(top >= start) & (top < start + size)] - start
        if len(inside):
            chosen[name] = inside
        start += size
    return chosen


def check_masks(patch, expected):
    """The same but for a tie at the border."""
    found = {(name, i) for name, flat in patch.indices.items() for i in flat.tolist()}
    wanted = {(name, i) for name, flat in expected.items() for i in flat.tolist()}
    assert len(found) == len(wanted) and len(found ^ wanted) <= 2


def retain_ids(preparation, trial, protocol=PROTOCOL):
    retain = preparation.baselines["retain_train"].paragraphs.ids
    return retain[Trials(protocol.trials, protocol.steps, len(retain), protocol.retain_batch, SEED).retain_of(trial)]


@pytest.mark.parametrize("edit", [False, True], ids=["unlearn", "edit"])
def test_every_trial_is_the_plain_loop_from_the_base_model(reciting, ingredients, preparation, editing, edit):
    """Its own mask, its own rows, a fresh Adam: nothing of one trial is left in the next."""
    base, prepared = copy.deepcopy(reciting), editing if edit else preparation
    given, recorder, _ = ingredients(preparation=prepared, objective=Edit(0.3, 5.0) if edit else Unlearn(0.3, 5.0))
    outcome = PROTOCOL.run(given)
    assert len(outcome.patches) == 4 and outcome.steps == 12
    losses = []
    for trial, row in enumerate(chosen_rows(prepared)):
        ids = prepared.loss_rows.ids[[row]]
        patch = outcome.patches[trial]
        check_masks(patch, naive_top(base, ids))
        batches = [(ids, retain_ids(prepared, trial))] * PROTOCOL.steps
        expected, expected_losses = naive_training(base, patch.indices, batches, 0.3 if edit else -0.3, 5.0, ADAM)
        alike(patch.deltas, expected, within=0.02)
        losses += expected_losses
    assert recorder.losses == pytest.approx(losses, rel=1e-3, abs=1e-4)
    one, other = outcome.patches[0], outcome.patches[1]
    assert any(not torch.equal(one.indices[name], other.indices[name]) for name in one.indices.keys() & other.indices.keys())


def test_the_base_model_comes_back_bit_for_bit(reciting, ingredients):
    before = bits(reciting)
    outcome = PROTOCOL.run(ingredients(optimizer=partial(torch.optim.AdamW, lr=0.1, weight_decay=1.0))[0])
    assert not is_attached(reciting) and same(bits(reciting), before)
    assert all(parameter.requires_grad for parameter in reciting.parameters())
    assert outcome.stopped_because == "max_steps" and outcome.kept_step is None


def test_every_row_knows_the_cluster_that_its_trial_was_about(ingredients, preparation):
    outcome = PROTOCOL.run(ingredients()[0])
    about = preparation.baselines["forget"].clusters[outcome.sets["forget"].index].tolist()
    assert len(about) == PROTOCOL.trials
    for outcomes in outcome.sets.values():
        for measured in (outcomes.before, outcomes.after):
            assert measured.trials.tolist() == [about[trial] for trial in outcomes.trial.tolist()]
    forget = outcome.sets["forget"].after
    assert torch.equal(forget.trials, forget.clusters)


def test_steps_count_on_and_the_trainer_takes_all_of_them(ingredients):
    given, recorder, made = ingredients()
    PROTOCOL.run(given)
    (trainer,) = made
    assert trainer.global_step == 12 and recorder.steps == list(range(1, 13))


def test_a_patch_belongs_to_the_base_model_and_makes_the_numbers_of_its_trial(reciting, ingredients, preparation):
    base = copy.deepcopy(reciting)
    outcome = PROTOCOL.run(ingredients(objective=Unlearn(1.0, 0.1))[0])
    forget, retain = outcome.sets["forget"], outcome.sets["retain"]
    for trial, row in enumerate(chosen_rows(preparation)):
        unlearned = copy.deepcopy(base)
        apply_patch(unlearned, outcome.patches[trial])
        scores = score(unlearned, preparation.loss_rows.select([row]))
        assert int(forget.after.scores.em[trial]) == int(scores.em[0])
        assert float(forget.after.scores.nll[trial]) == pytest.approx(float(scores.nll[0]), rel=1e-4)
        assert float(forget.before.scores.nll[trial]) < 0.5 * float(scores.nll[0])
        said, _ = naive.greedy(unlearned, preparation.loss_rows.prefixes[row], C)
        assert torch.equal(forget.said.after[trial], said)
        mine = retain.trial == trial
        baseline = preparation.baselines["retain"]
        expected = score(unlearned, baseline.paragraphs, reference=baseline.states)
        torch.testing.assert_close(retain.after.scores.kl[mine], expected.kl, rtol=1e-3, atol=1e-6)


def test_the_other_trials_are_bystanders_or_near(ingredients, preparation, sets):
    """Forget rows 0 and 2 share a cluster."""
    protocol = PerParagraph(trials=5, steps=1, retain_batch=2)
    outcome = protocol.run(ingredients()[0])
    rows = chosen_rows(preparation, trials=5)
    clusters = sets.clusters["forget"].tolist()
    expected = {"forget": [], "bystander": [], "near": [], "retain": [], "retain_train": []}
    for trial, row in enumerate(rows):
        expected["forget"].append((trial, row))
        for other in rows:
            if other != row:
                expected["near" if clusters[other] == clusters[row] else "bystander"].append((trial, other))
        expected["retain"] += [(trial, i) for i in range(len(sets.retain))]
        drawn = Trials(5, 1, len(sets.retain_train), 2, SEED).retain_of(trial)
        expected["retain_train"] += [(trial, i) for i in drawn.tolist()]
    assert outcome.sets.keys() == expected.keys() and len(expected["near"]) == 2
    for name, pairs in expected.items():
        found = outcome.sets[name]
        assert sorted(zip(found.trial.tolist(), found.index.tolist(), strict=True)) == sorted(pairs)
        source = getattr(sets, name if name in ("retain", "retain_train") else "forget")
        assert torch.equal(found.paragraphs.ids, source.ids[found.index])
        assert len(found.before.scores.em) == len(found.after.scores.em) == len(found.after.clusters) == len(pairs)
    assert outcome.sets["forget"].said.before.tolist() == sets.forget.continuations[rows].tolist()
    assert outcome.sets["retain_train"].said is None


def test_a_run_decodes_at_most_so_many_rows_of_a_set_over_all_trials(reciting, ingredients, preparation, monkeypatch):
    base = copy.deepcopy(reciting)
    monkeypatch.setattr(trials, "TEXTS_AT_MOST", 9)  # of 4 retain rows in each of 4 trials: the first 2
    outcome = PROTOCOL.run(ingredients()[0])
    retain = outcome.sets["retain"]
    assert retain.said.rows.tolist() == [0, 1, 4, 5, 8, 9, 12, 13]
    assert retain.index[retain.said.rows].tolist() == [0, 1] * 4
    for place, row in enumerate(retain.said.rows.tolist()):
        unlearned = copy.deepcopy(base)
        apply_patch(unlearned, outcome.patches[int(retain.trial[row])])
        prefix = retain.paragraphs.prefixes[row]
        before, after = (retain.said.before, retain.said.values_before), (retain.said.after, retain.said.values_after)
        for model, (said, values) in ((base, before), (unlearned, after)):
            assert torch.equal(said[place], naive.greedy(model, prefix, C)[0])
            assert int(values["longest_common_run"][place]) == naive.common_run(
                said[place], retain.paragraphs.continuations[row]
            )
    assert outcome.sets["forget"].said.rows.tolist() == [0, 1, 2, 3]


def test_one_mask_for_all_trials_or_one_each(reciting, ingredients, preparation):
    base, rows = copy.deepcopy(reciting), chosen_rows(preparation)
    shared = replace(PROTOCOL, mask_scope="set").run(ingredients()[0])
    own = replace(PROTOCOL, mask_scope="trial").run(ingredients()[0])
    default = PROTOCOL.run(ingredients()[0])
    for trial, row in enumerate(rows):
        check_masks(shared.patches[trial], naive_top(base, preparation.loss_rows.ids[rows]))
        check_masks(own.patches[trial], naive_top(base, preparation.loss_rows.ids[[row]]))
        assert same(default.patches[trial].deltas, own.patches[trial].deltas)
    for outcome in (shared, own):
        assert outcome.k == round(FRACTION * outcome.eligible) == outcome.patches[2].k
        totals = [count_per_component(patch.indices, eligible_weights(reciting)) for patch in outcome.patches]
        assert outcome.per_component == {name: sum(total[name] for total in totals) for name in totals[0]}
        assert sum(outcome.per_component.values()) == 4 * outcome.k


def test_another_scope_is_refused():
    with pytest.raises(UserError, match="protocol.mask_scope=row is not known: use trial or set"):
        PerParagraph(mask_scope="row")


def test_random_masks_differ_from_trial_to_trial(ingredients):
    outcome = PROTOCOL.run(ingredients(strategy=RandomWeights(fraction=FRACTION))[0])
    masks = [tuple((name, i) for name, flat in p.indices.items() for i in flat.tolist()) for p in outcome.patches]
    assert len(set(masks)) == 4


def test_alternatives_are_measured_before_and_after(reciting, ingredients, editing):
    base = copy.deepcopy(reciting)
    outcome = PROTOCOL.run(ingredients(preparation=editing, objective=Edit(1.0, 0.1))[0])
    assert outcome.alternatives.before.em.shape == outcome.alternatives.after.nll.shape == (4,)
    rows = editing.loss_rows.select(chosen_rows(editing))
    torch.testing.assert_close(outcome.alternatives.before.nll, score(base, rows).nll, rtol=1e-4, atol=1e-5)
    for trial in range(4):
        edited = copy.deepcopy(base)
        apply_patch(edited, outcome.patches[trial])
        after = score(edited, rows.select([trial]))
        assert float(outcome.alternatives.after.nll[trial]) == pytest.approx(float(after.nll[0]), rel=1e-4)
    assert bool((outcome.alternatives.after.nll < outcome.alternatives.before.nll).all())
    originals = outcome.sets["forget"].paragraphs.select(outcome.alternatives.rows)
    assert torch.equal(originals.prefixes, rows.prefixes)


def test_a_trial_that_becomes_nan_keeps_its_last_good_deltas_and_the_next_goes_on(reciting, ingredients):
    whole, recorder, _ = ingredients()
    clean = PROTOCOL.run(whole)
    given, _, _ = ingredients(objective=Poisoned(at=6, times=1, objective=Unlearn(0.3, 5.0)))  # the third loss of trial 1
    outcome = PROTOCOL.run(given)
    assert outcome.stopped_because == "nan" and clean.stopped_because == "max_steps"
    for trial in (0, 2, 3):
        assert same(outcome.patches[trial].deltas, clean.patches[trial].deltas)
    assert same(outcome.patches[1].deltas, recorder.deltas[4])  # after one step: two steps gave the NaN
    assert bool(outcome.sets["forget"].after.scores.nll.isfinite().all())


def test_a_trial_that_becomes_nan_between_two_looks_ends_no_other(ingredients):
    """Of four steps the fourth loss is read at the trial's end only."""
    given, _, _ = ingredients(objective=Poisoned(at=8, times=1, objective=Unlearn(0.3, 5.0)))  # the fourth loss of trial 1
    protocol = replace(PROTOCOL, steps=4)
    outcome = protocol.run(given)
    whole, recorder, _ = ingredients()
    clean = protocol.run(whole)
    assert outcome.stopped_because == "nan" and len(outcome.patches) == PROTOCOL.trials
    for trial in (0, 2, 3):
        assert same(outcome.patches[trial].deltas, clean.patches[trial].deltas)


def test_a_learning_rate_that_ruins_every_trial_leaves_finite_numbers(reciting, ingredients):
    before = bits(reciting)
    given, _, _ = ingredients(optimizer=partial(torch.optim.SGD, lr=float("inf")))
    for protocol in (PROTOCOL, replace(PROTOCOL, steps=1)):
        outcome = protocol.run(given)
        assert outcome.stopped_because == "nan" and same(bits(reciting), before)
        assert all(not delta.any() for patch in outcome.patches for delta in patch.deltas.values())
        assert bool(outcome.sets["retain"].after.scores.nll.isfinite().all())


def test_settings_that_cannot_work_are_refused_before_anything_changes(reciting, ingredients, tmp_path):
    before = bits(reciting)
    for changes, says in (
        ({"stop": StopRule()}, "no stop rule: add stop=none"),
        ({"resume_from": tmp_path / "last.ckpt"}, "cannot be resumed"),
        ({"accumulate_grad_batches": 2}, "accumulate=1"),
    ):
        with pytest.raises(UserError, match=says):
            PROTOCOL.run(ingredients(**changes)[0])
    for protocol, says in (
        (PerParagraph(trials=6), "protocol.trials=6, but only 5"),
        (PerParagraph(trials=2, retain_batch=8), "protocol.retain_batch=8, but only 7"),
    ):
        with pytest.raises(UserError, match=says):
            protocol.run(ingredients()[0])
    assert not is_attached(reciting) and same(bits(reciting), before)
    for name in ("trials", "steps", "retain_batch"):
        with pytest.raises(UserError, match=f"protocol.{name}=0"):
            PerParagraph(**{name: 0})
