"""Samples, and what one pass makes one expect of them."""

import math

import naive_scoring as naive
import pytest
import tiny_architectures as tiny
import torch
from attacked import attack, target_of, unchanged
from transformers import GenerationConfig

from memunlearn.attacks.material import Subject
from memunlearn.attacks.sampling import ManySamples, chance_in, one_pass_over, sampled_continuations
from memunlearn.errors import UserError
from memunlearn.paragraphs.paragraph_set import ParagraphSet
from memunlearn.scoring.sampling import Sampling
from memunlearn.scoring.score import score


def naive_log_p(logits, label, temperature, top_k):
    """exp(z / t) of the label over the sum of it over the top_k, one position."""
    weights = [math.exp(float(z) / temperature) for z in logits]
    kept = sorted(range(len(weights)), key=lambda token: -weights[token])[: top_k or len(weights)]
    return math.log(weights[label] / sum(weights[token] for token in kept)) if label in kept else -math.inf


def test_chances_by_hand():
    """Tokens of probability 1/2 and 3/4: both in a row 3/8; of two samples one has them with 1 - (5/8)^2."""
    begun = torch.tensor([[math.log(0.5), math.log(0.375)]], dtype=torch.float64)
    assert chance_in(begun, 2).tolist() == [pytest.approx([0.75, 1 - 0.625**2], rel=1e-6)]


def test_the_chance_of_rare_and_certain_texts():
    log_p = torch.tensor([-math.inf, -60.0, math.log(0.25), 0.0], dtype=torch.float64)
    assert chance_in(log_p, 1).tolist() == pytest.approx([0, math.exp(-60), 0.25, 1], rel=1e-12)
    assert chance_in(log_p, 1000)[1] == pytest.approx(1000 * math.exp(-60), rel=1e-9)  # 1 - (1 - p)^n is 0 in fp64
    assert chance_in(log_p, 10)[2] == pytest.approx(1 - 0.75**10) and chance_in(log_p, 7)[3] == 1


def test_begun_is_the_product_over_a_rows_first_tokens(half_trained, sets):
    forget = sets.forget
    begun, nll = one_pass_over(half_trained, forget, Sampling(9, 0.8), 2)
    assert torch.equal(nll, score(half_trained, forget, 2).nll)
    assert begun.shape == (5, 9) and begun.dtype == torch.float64
    for row, ids in enumerate(forget.ids):
        logits, total = naive.logits_of(half_trained, ids), 0.0
        for place in range(9):
            total += naive_log_p(logits[6 + place], int(ids[7 + place]), 0.8, 9)
            assert float(begun[row, place]) == pytest.approx(total, rel=1e-4, abs=1e-5)
    assert [part.shape for part in one_pass_over(half_trained, forget.select([]), Sampling(9), 2)] == [(0, 9), (0,)]


def test_samples_are_those_of_the_seed_and_of_no_other_setting():
    model, rows = tiny.tiny_model("gpt_neo"), ParagraphSet(tiny.some_ids(1, 4, 12), 5, tuple("abcd"))
    with unchanged(model):
        first = sampled_continuations(model, rows, 3, seed=1)
        model.generation_config, own = GenerationConfig(repetition_penalty=5.0, eos_token_id=0), model.generation_config
        assert torch.equal(sampled_continuations(model, rows, 3, seed=1, description="sampling"), first)
        model.generation_config = own
    assert first.shape == (4, 3, 7) and first.dtype == torch.int64
    assert not torch.equal(sampled_continuations(model, rows, 3, seed=2), first)
    assert sampled_continuations(model, rows.select([]), 3).shape == (0, 3, 7)


def test_top_1_is_greedy_decoding(half_trained, sets):
    said = sampled_continuations(half_trained, sets.forget, 2, top_k=1)
    for row, prefix in enumerate(sets.forget.prefixes):
        expected, gaps = naive.greedy(half_trained, prefix, 9)
        assert min(gaps) > 1e-4 and torch.equal(said[row, 0], expected) and torch.equal(said[row, 1], expected)


@pytest.mark.parametrize(("temperature", "top_k"), [(1.0, 4), (1.5, None)])
def test_first_tokens_come_as_often_as_their_probability_says(temperature, top_k):
    """Chi-squared of 4,000 first tokens after one prefix against the renormalised probabilities."""
    model, row = tiny.tiny_model("llama", seed=2), ParagraphSet(tiny.some_ids(7, 1, 6), 5, ("a",))
    drawn = sampled_continuations(model, row, 4000, temperature=temperature, top_k=top_k)[0, :, 0]
    logits = naive.logits_of(model, row.prefixes[0])[-1]
    p = torch.tensor([math.exp(naive_log_p(logits, token, temperature, top_k)) for token in range(tiny.VOCABULARY)])
    counts = drawn.bincount(minlength=tiny.VOCABULARY)
    assert not counts[p == 0].any()
    often = 4000 * p >= 5
    statistic = float(((counts - 4000 * p)[often] ** 2 / (4000 * p[often])).sum())
    freedom = int(often.sum()) - 1
    assert statistic < freedom + 4 * math.sqrt(2 * freedom)  # far beyond p = .001


def test_attempts_are_the_first_n_of_one_series(half_trained, sets):
    forget = sets.forget
    target = target_of(half_trained, forget, sets.clusters["forget"], seed=4)
    attempts = attack(ManySamples((6, 1, 3), temperature=0.9, top_k=10), half_trained, target)
    said = sampled_continuations(half_trained, forget, 6, temperature=0.9, top_k=10, seed=4)
    assert [dict(attempt.settings) for attempt in attempts] == [{"n": n, "temperature": 0.9, "top_k": 10} for n in (1, 3, 6)]
    for attempt, n in zip(attempts, (1, 3, 6), strict=True):
        for row, continuation in enumerate(forget.continuations):
            samples = said[row, :n]
            assert attempt.em[row] == max(naive.agreement(sample, continuation) for sample in samples)
            assert attempt.longest_run[row] == max(naive.common_run(sample, continuation) for sample in samples)
        whole = [any(torch.equal(sample, right) for sample in said[row, :n]) for row, right in enumerate(forget.continuations)]
        assert attempt.extra["whole"] == pytest.approx(sum(whole) / 5)
        assert torch.equal(attempt.nll, score(half_trained, forget, 3).nll)
    assert len({tuple(attempt.em.tolist()) for attempt in attempts}) > 1


def test_what_is_drawn_is_what_was_to_be_expected(reciting, sets):
    """Over 40 seeds the best of 4 is as good, and whole as often, as the pass says."""
    forget, seeds = sets.forget, range(40)
    runs = []
    for seed in seeds:
        target = target_of(reciting, forget, sets.clusters["forget"], batch_size=64, seed=seed)
        runs.append(ManySamples((4,), temperature=1.3)(Subject("base", reciting), target)[0])
    expected = runs[0].extra
    em = torch.stack([run.em.double().mean() for run in runs])
    whole = torch.tensor([run.extra["whole"] for run in runs])
    assert 0.05 < expected["whole_expected"] < 0.95 and 1 < expected["em_expected"] < 8.9
    assert abs(float(em.mean()) - expected["em_expected"]) < 4 * float(em.std()) / len(seeds) ** 0.5
    assert abs(float(whole.mean()) - expected["whole_expected"]) < 4 * float(whole.std()) / len(seeds) ** 0.5


def test_all_tokens_are_said_as_all(half_trained, sets):
    (attempt,) = attack(
        ManySamples((1,), top_k=None), half_trained, target_of(half_trained, sets.forget, sets.clusters["forget"])
    )
    assert attempt.settings["top_k"] == "all"


@pytest.mark.parametrize(
    "settings", [{"samples": ()}, {"samples": (0,)}, {"samples": (3, 3)}, {"temperature": 0.0}, {"top_k": 0}]
)
def test_settings_that_say_nothing_are_refused(settings):
    with pytest.raises(UserError, match=f"attacks.sampling.{next(iter(settings))}"):
        ManySamples(**settings)


def test_samples_do_not_depend_on_the_rows_a_scoring_pass(half_trained, sets):
    targets = [target_of(half_trained, sets.forget, sets.clusters["forget"], batch_size=size) for size in (2, 5)]
    one, other = (attack(ManySamples((20,)), half_trained, target)[0] for target in targets)
    assert torch.equal(one.em, other.em) and torch.equal(one.longest_run, other.longest_run)
