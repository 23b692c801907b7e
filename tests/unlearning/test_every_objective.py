"""Every objective of conf/objective trains, in both precisions, one paragraph at a time too, and goes on where it stopped."""

import copy
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest
import torch
import yaml
from hydra.utils import get_class
from lightning.pytorch.callbacks import ModelCheckpoint
from tiny_runs import quiet_trainer, same, some_mask

from memunlearn.localization.weight_attribution import Gradient
from memunlearn.masks import RandomWeights
from memunlearn.models import eligible_weights
from memunlearn.objectives.material import Needs
from memunlearn.objectives.pdu import PDU
from memunlearn.scoring.alternatives import find_alternatives
from memunlearn.scoring.score import score
from memunlearn.unlearning.ingredients import Ingredients
from memunlearn.unlearning.per_paragraph import PerParagraph
from memunlearn.unlearning.preparation import prepare
from memunlearn.unlearning.training import unlearn

CONFIGS = {file.stem: yaml.safe_load(file.read_text()) for file in Path("conf/objective").glob("*.yaml")}
CLASSES = {name: get_class(config["_target_"]) for name, config in CONFIGS.items() if "_target_" in config}
WEIGHTS = {"forget_weight": 1.0, "retain_weight": 0.1}
OTHERS = {
    "ga": {"retain_weight": 0.0},
    "npo": {"forget_weight": 0.1},
    "dpo": {"forget_weight": 0.1},
    "pdu": {"forget_weight": 0.1},
    "rmu": {"steering": 5.0},
}
# In these something is constant that a step moves: the value need not fall.
RESHAPED = ("ce_u", "wga", "satimp")
ADAM = partial(torch.optim.Adam, lr=1e-2)


@dataclass
class Watched:
    """An objective, and the terms of every call."""

    objective: object
    terms: list

    @property
    def needs(self) -> Needs:
        return self.objective.needs

    def __call__(self, step):
        losses = self.objective(step)
        self.terms.append([float(x.detach()) for x in (losses.forget_term, losses.forget_nll, losses.retain_term)])
        return losses


def made(kind):
    return CLASSES[kind](**(WEIGHTS | OTHERS.get(kind, {})))


def prepared(model, sets, objective):
    find = partial(find_alternatives, seed=4, batch_size=16) if objective.needs.alternatives else None
    return prepare(model, sets, find, needs=objective.needs, batch_size=8)


@pytest.fixture(params=sorted(CLASSES))
def kind(request):
    return request.param


def test_only_one_config_is_of_another_ones_class():
    assert CONFIGS.keys() - CLASSES.keys() == {"unlearn_unbounded"}
    assert len(set(CLASSES.values())) == len(CLASSES)


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_training_lowers_the_forget_term_and_forgets(reciting, sets, kind, precision):
    objective = Watched(made(kind), [])
    preparation = prepared(reciting, sets, objective)
    before = score(reciting, preparation.loss_rows, 8).nll.mean()
    make = quiet_trainer(25, precision=precision)
    mask = some_mask(reciting)
    unlearn(reciting, mask, preparation, objective, ADAM, stop=None, make_trainer=make, batch_size=8)
    first, last = objective.terms[0], objective.terms[-1]
    moved = float(score(reciting, preparation.loss_rows, 8).nll.mean() - before)
    assert (moved < -0.05) if objective.needs.alternatives else (moved > 0.2)
    assert (last[1] > first[1]) == (moved > 0)
    assert kind in RESHAPED or last[0] < first[0]
    if kind not in ("grad_diff", "pdu"):  # these keep the NLL
        assert abs(first[2]) < 1e-6  # the base model does not differ from itself, in either precision


def test_it_trains_one_paragraph_at_a_time(reciting, sets, kind):
    objective = made(kind)
    given = Ingredients(
        model=reciting,
        weights=eligible_weights(reciting),
        preparation=prepared(reciting, sets, objective),
        strategy=RandomWeights(fraction=0.2),
        attribution=Gradient(),
        objective=objective,
        optimizer=ADAM,
        stop=None,
        make_trainer=quiet_trainer(),
        batch_size=4,
        seed=3,
        mask_seed=3,
    )
    outcome = PerParagraph(trials=2, steps=3, retain_batch=2).run(given)
    assert outcome.stopped_because == "max_steps" and len(outcome.patches) == 2
    for patch in outcome.patches:
        assert all(bool(delta.isfinite().all()) for delta in patch.deltas.values())
        assert any(bool(delta.any()) for delta in patch.deltas.values())
    assert (outcome.alternatives is not None) == objective.needs.alternatives


def test_going_on_is_never_having_stopped(reciting, sets, kind, tmp_path):
    base, mask = copy.deepcopy(reciting), some_mask(reciting)
    preparation = prepared(reciting, sets, made(kind))
    trained = {}
    for resumed, model in ((False, reciting), (True, base)):
        extra = [] if resumed else [ModelCheckpoint(tmp_path, "{step}", every_n_train_steps=1, save_top_k=-1)]
        trained[resumed] = unlearn(
            model,
            mask,
            preparation,
            made(kind),
            ADAM,
            stop=None,
            make_trainer=quiet_trainer(5, extra),
            batch_size=2,
            resume_from=tmp_path / "step=3.ckpt" if resumed else None,
        )
    assert trained[True].steps == trained[False].steps == 5
    assert same(trained[True].patch.deltas, trained[False].patch.deltas)


def test_a_multiplier_goes_on_with_its_run(reciting, sets, tmp_path):
    """From the checkpoint, and not from the start; and each trial begins anew."""
    preparation = prepared(reciting, sets, PDU())
    whole = PDU(1.0, 0.5, tolerance=0.0, dual_step=5.0)
    keep = ModelCheckpoint(tmp_path, "{step}", every_n_train_steps=1, save_top_k=-1)
    base, mask = copy.deepcopy(reciting), some_mask(reciting)
    train = partial(unlearn, mask=mask, preparation=preparation, optimizer=ADAM, stop=None, batch_size=2)
    train(reciting, objective=whole, make_trainer=quiet_trainer(6, [keep]))
    kept = float(torch.load(tmp_path / "step=4.ckpt", weights_only=True)["objective"]["multiplier"])
    again = PDU(1.0, 0.5, tolerance=0.0, dual_step=5.0)
    train(copy.deepcopy(base), objective=again, make_trainer=quiet_trainer(6), resume_from=tmp_path / "step=4.ckpt")
    assert float(again.multiplier) == float(whole.multiplier) != kept != 0.5
