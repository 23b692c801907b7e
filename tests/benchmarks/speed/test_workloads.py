"""Every workload runs, at a tiny size, and notices when its two sides do not do the same."""

import dataclasses
import json

import pytest
import torch

from benchmarks.rounds import Spread
from benchmarks.speed import gradients, growth, prefix_sweep, scoring, training_step, workload
from benchmarks.speed.sizes import SIZES, Lengths, random_model, recited_rows
from benchmarks.speed.workload import OURS, PRODUCTS, AnswersDiffer, Given, measured, same_em

GIVEN = Given(size=SIZES["tiny"], lengths=Lengths(7, 9), rows=3, rounds=2, device="cpu")


def check_times(workloads, rounds=2):
    for one in workloads:
        assert {len(values) for values in one.seconds.values()} == {rounds}, one.name
        assert all(value > 0 for values in one.seconds.values() for value in values), one.name
        assert one.peak_mib.keys() == one.seconds.keys() and one.flops.keys() <= one.seconds.keys(), one.name
        json.dumps(dataclasses.asdict(one))


def test_scoring_beside_decoding():
    batch, single = found = scoring.scoring(GIVEN)
    check_times(found)
    assert [OURS, scoring.GENERATE, scoring.PASS, PRODUCTS] == list(batch.seconds) and batch.tokens == 3 * 15
    assert [OURS, scoring.LOOP] == list(single.seconds)


def test_both_ways_of_decoding_give_the_em_of_one_pass():
    model = random_model(GIVEN.size)
    rows = recited_rows(model, GIVEN.size, GIVEN.lengths, 4)
    em = scoring.mu.score(model, rows).em.tolist()
    assert len(set(em)) > 1
    assert scoring.em_by_decoding(model, rows).tolist() == em == scoring.em_by_loop(model, rows).tolist()


def test_em_of_texts_ends_at_the_first_difference():
    said, true = torch.tensor([[1, 2, 3], [9, 2, 3], [1, 9, 3]]), torch.tensor([[1, 2, 3]] * 3)
    assert scoring.em_of_texts(said, true).tolist() == [3, 0, 1]


def test_another_em_is_no_answer(monkeypatch):
    real = scoring.em_of_texts
    monkeypatch.setattr(scoring, "em_of_texts", lambda said, true: real(said, true) - 1)
    with pytest.raises(AnswersDiffer, match="EM differs"):
        scoring.scoring(GIVEN)


def test_in_16_bits_em_may_differ():
    answers = {"one": torch.tensor([1]), "other": torch.tensor([2])}
    same_em(dataclasses.replace(GIVEN, precision="bf16-mixed"), ("one", "other"))(answers)
    with pytest.raises(AnswersDiffer, match="one .1., other .2."):
        same_em(GIVEN, ("one", "other"))(answers)


def test_16_bits_are_those_of_both_sides():
    half = dataclasses.replace(GIVEN, precision="bf16-mixed")
    with half.autocast():
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.bfloat16
    check_times(scoring.scoring(half))


def test_the_prefix_sweep_beside_decoding_everything():
    (found,) = prefix_sweep.prefix_sweep(GIVEN)
    check_times([found])
    assert found.tokens == 7 * 15


def test_a_perturbed_prefix_differs_at_its_own_place():
    model = random_model(GIVEN.size)
    rows = recited_rows(model, GIVEN.size, GIVEN.lengths, 2)
    prefixes = prefix_sweep.perturbed_prefixes(rows, GIVEN.size.vocabulary, [])
    assert torch.equal(prefixes != rows.prefixes.unsqueeze(1), torch.eye(7, dtype=torch.bool).expand(2, 7, 7))


def test_a_step_beside_the_loop_with_two_models():
    check_times(found := training_step.training_steps(GIVEN))
    assert [one.name for one in found] == ["step_all", "step_5percent", "step_0.1percent"]
    assert PRODUCTS in found[0].seconds and found[0].rows == 6 and found[0].tokens == 6 * 15


def test_a_step_of_kfac_beside_the_loop():
    check_times(found := training_step.kfac_steps(GIVEN))
    assert [one.name for one in found] == ["step_kfac_all", "step_kfac_0.1percent"]


def test_a_loop_that_ends_elsewhere_is_no_answer(monkeypatch):
    real = training_step.TwoModels.step
    monkeypatch.setattr(training_step.TwoModels, "step", lambda self, forget, retain: real(self, retain, forget))
    with pytest.raises(AnswersDiffer, match="after the same steps"):
        training_step.one_mask(GIVEN, "all", {"a": True})


def test_a_step_of_ours_is_all_between_two_starts():
    turns = training_step.StepTurns({"other": lambda: None}, "cpu")
    times = iter([0, 1, 2, 5, 6, 10, 11, 17, 20, 29])
    turns.clock = lambda: next(times)
    turns.on_train_batch_start()  # 0: other; from 1 on ours, and neither counts
    turns.on_train_batch_start()  # 2 to 5: other; from 6 on ours
    turns.on_train_batch_start()  # until 10; 11 to 17: other; from 20 on ours
    turns.on_train_end()
    assert turns.seconds == {OURS: [4, 9], "other": [3, 6]}


def test_attribution_and_curvature():
    check_times(gradients.gradients(GIVEN))


def test_other_gradients_are_no_answer(monkeypatch):
    real = gradients.mu.attribute
    monkeypatch.setattr(
        gradients.mu, "attribute", lambda *args, **settings: {n: 1.01 * g for n, g in real(*args, **settings).items()}
    )
    with pytest.raises(AnswersDiffer, match="attributions differ"):
        gradients.gradients(GIVEN)


def test_each_case_of_growth_differs_from_the_base_in_one_thing():
    (base_size, base_lengths, base_rows), *others = growth.grown(GIVEN).values()
    for size, lengths, rows in others:
        changed = [size != base_size, lengths != base_lengths, rows != base_rows]
        assert sum(changed) == 1
    (found,) = growth.growth(GIVEN)
    check_times([found])
    assert found.flops["twice the rows"] == 2 * found.flops["the base"]


def test_memory_and_answers_are_of_the_uncounted_round(monkeypatch):
    asked, calls = [], []
    monkeypatch.setattr(workload, "clock", lambda device: iter(range(100)).__next__)
    found = measured(
        GIVEN, {"a": lambda: calls.append(1) or len(calls)}, name="n", title="t", rows=1, tokens=2, check=asked.append
    )
    assert asked == [{"a": 1}] and len(calls) == 3
    assert Spread.of(found.seconds["a"]) == Spread(1, 1, 1)
