"""What a step is measured on, and how."""

import dataclasses

import pytest
import torch

from benchmarks.speed import training_step
from benchmarks.speed.sizes import SIZES, Lengths, random_model
from benchmarks.speed.training_step import StepTurns, mask_of, sets_of, trainer_of, without_decoding
from benchmarks.speed.workload import OURS, Given
from memunlearn.models.components import eligible_weights
from memunlearn.paragraphs.splits import SET_NAMES

GIVEN = Given(size=SIZES["tiny"], lengths=Lengths(7, 9), rows=3, rounds=4, device="cpu")


def test_there_are_rows_for_one_epoch_of_all_rounds():
    sets = sets_of(GIVEN)
    assert len(sets.forget) == len(sets.retain_train) == 3 * 5
    assert {name: len(rows) for name, rows in sets.by_name().items() if len(rows) not in (0, 15)} == {
        "retain_val": 1,
        "retain": 1,
    }
    ids = torch.cat([getattr(sets, name).ids for name in SET_NAMES])
    assert len(ids.unique(dim=0)) == len(ids)
    clusters = torch.cat([sets.clusters[name] for name in SET_NAMES])
    assert len(clusters.unique()) == len(clusters) == len(ids)


def test_the_base_model_is_measured_without_its_own_words():
    model, sets = random_model(GIVEN.size), sets_of(GIVEN)
    found = without_decoding(model, sets.retain, sets.clusters["retain"], batch_size=2, name="retain", with_own=True)
    assert found.own is None and len(found.scores) == 1


@pytest.mark.parametrize("share", [1.0, 0.05, 0.001])
def test_a_mask_has_its_share_of_weights_over_all_tensors(share):
    weights = eligible_weights(random_model(SIZES["demo"]))
    mask = mask_of(weights, share)
    assert mask.k == round(share * SIZES["demo"].eligible)
    assert len(mask.indices) == len(weights)


def test_the_trainer_takes_every_round_and_the_uncounted_one_in_the_precision_asked_for():
    turns = StepTurns({}, "cpu")
    half = dataclasses.replace(GIVEN, precision="bf16-mixed")
    trainer = trainer_of(half, turns, [], None)
    assert trainer.max_steps == 5 and trainer.precision == "bf16-mixed" and turns in trainer.callbacks


def test_the_plain_loop_is_given_the_very_rows_of_ours(monkeypatch):
    given, seen = dataclasses.replace(GIVEN, rounds=1), []
    real_loop, real_material = training_step.TwoModels.step, training_step.mu.Demote.__call__

    def loop_step(self, forget, retain):
        seen.append(("loop", forget, retain))
        return real_loop(self, forget, retain)

    def objective(self, step):
        seen.append(("ours", step.forget.labels, step.retain.labels))
        return real_material(self, step)

    monkeypatch.setattr(training_step.TwoModels, "step", loop_step)
    monkeypatch.setattr(training_step.mu.Demote, "__call__", objective)
    training_step.one_mask(given, "5 %", {"two models": True})
    assert [who for who, *_ in seen] == ["loop", "ours"] * 2
    for (_, forget, retain), (_, forget_labels, retain_labels) in zip(seen[::2], seen[1::2], strict=True):
        assert torch.equal(forget[:, 7:], forget_labels) and torch.equal(retain[:, 7:], retain_labels)


@pytest.mark.parametrize("label", list(training_step.FRACTIONS))
def test_adam_has_the_same_rate_on_both_sides_higher_for_fewer_weights(label, monkeypatch):
    rates, real = [], torch.optim.Adam

    def watched(parameters, lr):
        rates.append(lr)
        return real(parameters, lr=lr)

    monkeypatch.setattr(torch.optim, "Adam", watched)
    monkeypatch.setattr(training_step, "same_change", lambda *_: None)  # two steps of so small a model are near rounding
    training_step.one_mask(dataclasses.replace(GIVEN, rounds=1), label, {"two models": False})
    share = training_step.FRACTIONS[label]
    assert rates == [pytest.approx(1e-4 * share**-0.5)] * 2


def test_memory_is_that_of_the_first_turn(monkeypatch):
    numbers = iter([11.0, 22.0])

    class Peak:
        def __enter__(self):
            self.mib = next(numbers)
            return self

        def __exit__(self, *_):
            return None

    monkeypatch.setattr(training_step, "peak_memory", lambda device: Peak())
    turns = StepTurns({"other": lambda: None}, "cpu")
    for _ in range(3):
        turns.on_train_batch_start()
    turns.on_train_end()
    assert turns.peak_mib == {"other": 11.0, OURS: 22.0}


def test_without_a_step_nothing_ends():
    turns = StepTurns({}, "cpu")
    turns.on_train_end()
    assert turns.seconds == {OURS: []}
