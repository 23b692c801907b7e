"""The loss and the checks compare the model with the base model in the run's own precision; what is reported is in fp32."""

import copy
from dataclasses import dataclass, replace
from functools import partial

import pytest
import torch
from tiny_runs import Recorder, quiet_trainer, same, some_mask

from memunlearn.evaluation.suite import measure
from memunlearn.localization.weight_attribution import Gradient
from memunlearn.masks.strategies import AllWeights
from memunlearn.models import bake, eligible_weights
from memunlearn.objectives.contrastive import Edit, Unlearn
from memunlearn.objectives.material import Losses
from memunlearn.scoring.score import score
from memunlearn.unlearning.ingredients import Ingredients
from memunlearn.unlearning.per_paragraph import PerParagraph
from memunlearn.unlearning.stopping import StopRule
from memunlearn.unlearning.training import unlearn

PRECISIONS = ("32-true", "bf16-mixed")
WHOLE_STEP = partial(torch.optim.SGD, lr=1.0)  # after one step the delta is the negative gradient


@dataclass
class OneTerm:
    """An objective, of which one term alone is trained; the KL of every call."""

    objective: Unlearn | Edit
    term: str

    def __post_init__(self):
        self.needs = self.objective.needs
        self.kl = []

    def __call__(self, *inputs):
        losses = self.objective(*inputs)
        self.kl.append(float(losses.retain_kl))
        kept = {name: getattr(losses, name) if name == self.term else 0 * getattr(losses, name) for name in TERMS}
        return Losses(**kept, forget_nll=losses.forget_nll, retain_kl=losses.retain_kl)


TERMS = ("forget_term", "retain_term")
OBJECTIVES = {"unlearn": Unlearn(), "edit": Edit(), "paper": Unlearn(0.1, 50.0, None)}


def first_gradients(model, preparation, objective, precision, batch_size=3):
    """Of the forget and of the retain term, each weighted, flat; and the KL of the base model with itself."""
    gradients, kl = {}, None
    for term in TERMS:
        one = OneTerm(objective, term)
        trained = unlearn(
            copy.deepcopy(model),
            some_mask(model),
            preparation,
            one,
            WHOLE_STEP,
            stop=None,
            make_trainer=quiet_trainer(1, precision=precision),
            batch_size=batch_size,
        )
        gradients[term] = torch.cat([delta.flatten() for delta in trained.patch.deltas.values()])
        kl = one.kl[0]
    return gradients, kl


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("kind", OBJECTIVES)
def test_the_base_model_does_not_differ_from_itself(reciting, preparation, editing, kind, precision):
    prepared = editing if OBJECTIVES[kind].needs.alternatives else preparation
    for batch_size in (1, 3):
        gradients, kl = first_gradients(reciting, prepared, OBJECTIVES[kind], precision, batch_size)
        assert 0 <= kl <= 1e-6
        assert float(gradients["retain_term"].norm()) <= 0.01 * float(gradients["forget_term"].norm())


@pytest.mark.parametrize("kind", ["unlearn", "paper"])
def test_the_first_gradient_in_bf16_points_where_that_in_fp32_does(reciting, preparation, kind):
    sums = {}
    for precision in PRECISIONS:
        gradients, _ = first_gradients(reciting, preparation, OBJECTIVES[kind], precision)
        sums[precision] = gradients["forget_term"] + gradients["retain_term"]
    assert float(torch.cosine_similarity(sums["32-true"], sums["bf16-mixed"], dim=0)) > 0.95


@pytest.mark.parametrize("precision", PRECISIONS)
def test_every_trial_starts_where_the_base_model_does_not_differ_from_itself(reciting, preparation, precision):
    objective = OneTerm(OBJECTIVES["paper"], "forget_term")
    given = Ingredients(
        model=reciting,
        weights=eligible_weights(reciting),
        preparation=preparation,
        strategy=AllWeights(),
        attribution=Gradient(),
        objective=objective,
        optimizer=partial(torch.optim.SGD, lr=1e-3),
        stop=None,
        make_trainer=quiet_trainer(precision=precision),
        batch_size=4,
        seed=0,
        mask_seed=0,
    )
    PerParagraph(trials=3, steps=2, retain_batch=4).run(given)
    starts, after_a_step = objective.kl[::2], objective.kl[1::2]
    assert max(starts) <= 1e-6 and min(after_a_step) > 10 * max(starts)


@pytest.mark.parametrize("edits", [False, True], ids=["unlearn", "edit"])
def test_checks_score_and_compare_in_the_runs_precision(reciting, preparation, editing, edits):
    """The kept check is recomputed by hand, the model and its reference both under bf16 autocast; without a rule, too."""
    prepared, objective = (editing, Edit()) if edits else (preparation, Unlearn())
    for rule in (StopRule(every=1, forget_em=0.0, max_kl=100.0, max_steps=3), None):
        model, base = copy.deepcopy(reciting), copy.deepcopy(reciting)
        make = quiet_trainer(3, precision="bf16-mixed")
        trained = unlearn(
            model,
            some_mask(model),
            prepared,
            objective,
            partial(torch.optim.Adam, lr=2e-3),
            stop=rule,
            make_trainer=make,
            batch_size=4,
        )
        rows = prepared.baselines["retain_val"].paragraphs
        with torch.autocast("cpu", torch.bfloat16):
            inputs = rows.ids[:, :-1]
            wanted, got = (m(input_ids=inputs).logits[:, 6:].float().log_softmax(-1) for m in (base, bake(model)))
            em = score(model, prepared.baselines["forget"].paragraphs).em
            alternatives = score(model, prepared.loss_rows).em
        kl = float((wanted.exp() * (wanted - got)).sum(-1).mean())
        assert trained.kept_check.retain_val_kl == pytest.approx(kl, rel=1e-3, abs=1e-7)
        assert trained.kept_check.forget_em == pytest.approx(float(em.double().mean()))
        if edits:
            assert trained.kept_check.alternative_em == pytest.approx(float(alternatives.double().mean()))
        if trained.trajectory:
            with torch.autocast("cpu", torch.bfloat16):
                first = score(base, rows)
            assert torch.equal(trained.trajectory[0].sets["retain_val"]["nll"], first.nll)
            assert not torch.equal(first.nll, prepared.baselines["retain_val"].scores.nll)


def test_what_is_reported_is_fp32_on_both_sides(reciting, preparation):
    baseline = preparation.baselines["retain"]
    states, scores = baseline.states.hidden.clone(), baseline.scores
    make = quiet_trainer(2, precision="bf16-mixed")
    unlearn(
        reciting,
        some_mask(reciting),
        preparation,
        Unlearn(),
        partial(torch.optim.SGD, lr=0.0),
        stop=None,
        make_trainer=make,
        batch_size=4,
    )
    after = measure(reciting, baseline, 4)
    assert torch.equal(baseline.states.hidden, states)
    assert after.scores.kl is not None and float(after.scores.kl.max()) < 1e-9
    torch.testing.assert_close(after.scores.token_nll, scores.token_nll, rtol=0, atol=1e-5)


def test_fp32_measures_nothing_again(reciting, preparation, monkeypatch):
    from memunlearn.unlearning import precision

    def refuse(*_, **__):
        raise AssertionError("the base model is run again")

    monkeypatch.setattr(precision, "score", refuse)
    monkeypatch.setattr(precision, "reference_states", refuse)
    recorder = Recorder()
    unlearn(
        reciting,
        some_mask(reciting),
        preparation,
        Unlearn(),
        WHOLE_STEP,
        stop=None,
        make_trainer=quiet_trainer(1, [recorder]),
        batch_size=4,
    )
    assert not same(recorder.deltas[0], recorder.deltas[1])


def test_going_on_in_bf16_compares_with_the_base_model_and_not_with_the_checkpoint(reciting, preparation, tmp_path):
    """The reference is measured before the checkpoint's deltas are there."""
    from lightning.pytorch.callbacks import ModelCheckpoint

    rule, adam = StopRule(every=1, forget_em=0.0, max_kl=100.0, max_steps=4), partial(torch.optim.Adam, lr=2e-3)
    whole, parts = copy.deepcopy(reciting), copy.deepcopy(reciting)
    mask = some_mask(reciting)
    expected = unlearn(
        whole, mask, preparation, Unlearn(), adam, stop=rule, make_trainer=quiet_trainer(precision="bf16-mixed"), batch_size=2
    )
    saver = ModelCheckpoint(tmp_path, filename="last", every_n_train_steps=2, save_top_k=1)
    first = quiet_trainer(extra=[saver], precision="bf16-mixed")
    unlearn(
        copy.deepcopy(reciting),
        mask,
        preparation,
        Unlearn(),
        adam,
        stop=replace(rule, max_steps=2),
        make_trainer=first,
        batch_size=2,
    )
    went_on = unlearn(
        parts,
        mask,
        preparation,
        Unlearn(),
        adam,
        stop=rule,
        make_trainer=quiet_trainer(precision="bf16-mixed"),
        batch_size=2,
        resume_from=tmp_path / "last.ckpt",
    )
    assert went_on.kept_check == expected.kept_check and same(went_on.patch.deltas, expected.patch.deltas)


def test_rounding_that_differs_between_batches_is_said(reciting, preparation, monkeypatch, capsys):
    """Kernels that round otherwise in training are played by a reference that was measured in fp32."""
    from memunlearn.unlearning import precision

    def run():
        make = quiet_trainer(1, precision="bf16-mixed")
        unlearn(
            copy.deepcopy(reciting),
            some_mask(reciting),
            preparation,
            Unlearn(),
            WHOLE_STEP,
            stop=None,
            make_trainer=make,
            batch_size=4,
        )
        return capsys.readouterr().out

    assert "warning" not in run()
    measured = precision.reference_states

    def in_fp32(*given):
        with torch.autocast("cpu", enabled=False):
            return measured(*given)

    monkeypatch.setattr(precision, "reference_states", in_fp32)
    assert "KL of the base model with itself" in run()
