"""What comes back by the weights used to forget: means, paired differences and claims, with trials that the test makes up."""

import json

import numpy as np
import pytest
import torch

from memunlearn.analyses.known_answer.relearning.charts import charts
from memunlearn.analyses.known_answer.relearning.compare import compare, other_em, two_sided_p
from memunlearn.analyses.known_answer.relearning.measure import ALL, NEVER, TRUE, WEIGHTS, Relearning, Trial
from memunlearn.analyses.known_answer.relearning.tell import notes, numbers, sentences, table
from memunlearn.localization.forgetting import Forgetting, Forgotten, Relearned
from memunlearn.localization.known_answer import RANDOM
from memunlearn.scoring.score import ParagraphScores
from memunlearn.statistics.seeds import mean_interval

STEPS = (5, 30)
RELEARNING = Relearning(4, Forgetting(3.0, 2e-3, 100, 4), Forgetting(3.0, 1e-4, 100, 4), STEPS, 2e-4)


def scores(em):
    values = {"em": torch.tensor(em), "longest_run": torch.tensor(em) + 3, "nll": torch.full((len(em),), 1.5)}
    return ParagraphScores(values, torch.full((len(em), 50), 1.5))


def course(draw, back):
    """back: EM of the other half after the last step; half of it after the first."""
    ends = (0, round(back / 2), round(back))
    return [Relearned(steps, scores([40, 42]), scores([end, end + 2])) for steps, end in zip((0, *STEPS), ends, strict=True)]


def trial(seed, plant, weights, back=None, forgotten=True, is_planted=True):
    """back None: nothing was taught again."""
    forgot = None
    if is_planted and plant is not None:
        forgot = Forgotten(10 + seed, torch.tensor([2, 1, 0, seed % 3]), forgotten)
    return Trial(
        seed=seed,
        plant=plant,
        place="" if plant is None else "layer 1",
        weights=weights,
        k=0 if plant is None else 1000 if weights == ALL else 100,
        in_plant=None if plant is None else 1.0 if weights == TRUE else 0.25,
        is_planted=is_planted and plant is not None,
        forgotten=forgot,
        other_kl=None if forgot is None else 0.01 * (seed + 1),
        course=() if back is None else course(None, back),
    )


def trials(seeds, backs, plants=("mlp",)):
    """backs: by weights a function of the seed."""
    made = []
    for seed in range(seeds):
        made.append(trial(seed, None, NEVER, 1))
        for plant in plants:
            made += [trial(seed, plant, weights, backs.get(weights, lambda seed: 20)(seed)) for weights in WEIGHTS]
    return made


LESS = {TRUE: lambda seed: 6 + 2 * (seed % 3)}


def test_everything_is_a_mean_over_seeds_and_paired_with_the_true_weights():
    draw = np.random.default_rng(0)
    backs = {weights: draw.integers(2, 40, 7).tolist().__getitem__ for weights in WEIGHTS}
    made = trials(7, backs, ("mlp", "head"))
    compared = compare(made, ("mlp", "head"), STEPS)
    assert [(one.plant, one.weights) for one in compared] == [
        (None, NEVER),
        *((plant, weights) for plant in ("mlp", "head") for weights in WEIGHTS),
    ]
    for one in compared[1:]:
        mine = [t for t in made if (t.plant, t.weights) == (one.plant, one.weights)]
        true = [t for t in made if (t.plant, t.weights) == (one.plant, TRUE)]
        assert (one.planted, one.forgotten) == (7, 7) and one.steps.value == 13 and one.other_kl.value == pytest.approx(0.04)
        assert one.in_plant.value == (1.0 if one.weights == TRUE else 0.25)
        for place, back in enumerate(one.back):
            em = [np.mean(t.course[place].other.em.tolist()) for t in mine]
            mean, ends = mean_interval(em, (0, 50))
            assert back.steps == (0, *STEPS)[place]
            assert back.em.value == pytest.approx(mean) and back.em.interval == (ends and pytest.approx(ends))
            assert back.longest_run.value == pytest.approx(mean + 3) and back.taught.value == 41
            if one.weights == TRUE or place == 0:
                assert back.over_true.value is None and back.p is None
            else:
                over = np.mean([other_em(a, place) - other_em(b, place) for a, b in zip(mine, true, strict=True)])
                assert back.over_true.value == pytest.approx(over) and 2 / 2**7 <= back.p <= 1


def test_the_right_place_holds_better_where_less_comes_back():
    made = trials(8, LESS | {ALL: LESS[TRUE]})
    compared = compare(made, ("mlp",), STEPS)
    assert [one.weights for one in compared if one.differs] == [weights for weights in WEIGHTS if weights not in (TRUE, ALL)]
    said = sentences(compared)
    assert "in one layer's MLP it holds better than through as many random weights (+12." in said[0]
    assert "no difference could be told from the other 1 choice of weights." in said[0] and "all 12 comparisons" in said[0]
    assert "the true weights 8.8 [" in said[1] and "One layer's MLP, 8 plantings: EM of the other half at the step" in said[1]
    assert "EM of the other half 2.0 after 30 steps (of the taught half 41.0)" in said[2]


def test_the_right_place_can_hold_worse():
    made = trials(8, {RANDOM: lambda seed: 3 + seed % 2})
    compared = compare(made, ("mlp",), STEPS)
    assert [one.weights for one in compared if one.differs] == [RANDOM]
    assert "it holds worse than through as many random weights (-16." in sentences(compared)[0]


def test_no_difference_is_said():
    made = trials(8, {TRUE: lambda seed: 16 + 8 * (seed % 2)})
    compared = compare(made, ("mlp",), STEPS)
    assert not any(one.differs for one in compared)
    assert "no difference in how well it holds could be told" in sentences(compared)[0]


@pytest.mark.parametrize("seeds", [3, 5])
def test_few_seeds_are_points(seeds):
    """Five have intervals, but no two-sided p of flipped signs below 0.05."""
    compared = compare(trials(seeds, LESS), ("mlp",), STEPS)
    assert "too few plantings for a verdict" in sentences(compared)[0] and not any(one.differs for one in compared)
    assert (compared[1].worst.em.interval is None) == (seeds == 3)
    assert ("[" in sentences(compared)[1]) == (seeds == 5)


def test_what_was_not_forgotten_or_planted_is_told_and_left_out():
    made = [one for one in trials(6, LESS) if (one.seed, one.weights) not in ((0, RANDOM), (1, TRUE))]
    made = [one for one in made if one.seed != 2 or one.plant is None]
    made += [trial(0, "mlp", RANDOM, forgotten=False), trial(1, "mlp", TRUE, forgotten=False)]
    made += [trial(2, "mlp", TRUE, is_planted=False)]
    compared = {one.weights: one for one in compare(made, ("mlp",), STEPS)}
    assert (compared[TRUE].planted, compared[TRUE].forgotten) == (5, 4)
    assert (compared[RANDOM].planted, compared[RANDOM].forgotten) == (5, 4)
    assert compared[ALL].forgotten == 5
    # Seeds 3, 4 and 5 have both.
    assert compared[RANDOM].worst.over_true.value == pytest.approx(np.mean([20 - (6 + 2 * (seed % 3)) for seed in (3, 4, 5)]))
    assert compared[RANDOM].worst.p is None
    said = notes(made, RELEARNING)
    assert sum(note.startswith("Not forgotten: one layer's MLP (layer 1), seed") for note in said) == 2
    assert sum(note.startswith("Not planted: one layer's MLP (layer 1), seed 2") for note in said) == 1
    assert (
        "not forgotten in every planting through the true weights and as many random weights"
        in sentences(list(compared.values()))[1]
    )


def test_nothing_planted_is_nothing():
    made = [one for seed in range(3) for one in (trial(seed, None, NEVER, 1), trial(seed, "mlp", TRUE, is_planted=False))]
    compared = compare(made, ("mlp",), STEPS)
    said = sentences(compared)
    assert "nothing can be compared" in said[0] and "nothing that was planted was forgotten" in said[1]
    assert charts(compared)[0].panels[0].series[0].label == "never planted"
    json.dumps([numbers(compared, made), table(made)])


def test_table_and_numbers_hold_every_trial():
    made = trials(6, LESS)
    rows = table(made)
    assert {len(column) for column in rows.values()} == {6 * (1 + len(WEIGHTS)) * 3}
    told = numbers(compare(made, ("mlp",), STEPS), made)
    json.dumps([told, rows])
    true = told["plants"]["mlp"][TRUE]
    assert (true["k"], true["forgotten"], true["relearned"]["30"]["p"]) == (100, 6, None)
    chosen = [
        em
        for em, weights, steps in zip(rows["em"], rows["weights"], rows["relearn_steps"], strict=True)
        if (weights, steps) == (TRUE, 30)
    ]
    assert true["relearned"]["30"]["em"] == pytest.approx(np.mean(chosen)) == pytest.approx(9.0)
    assert told["plants"]["never_planted"]["relearned"]["5"]["em"] == pytest.approx(1.0)
    (chart,) = charts(compare(made, ("mlp",), STEPS))
    assert "95 % intervals over planting seeds" in chart.caption and len(chart.panels[0].series) == 1 + len(WEIGHTS)


def test_differences_of_chance_are_hardly_ever_told():
    """Eight plantings, six other choices at two steps, no true difference: the level over the whole family is 5 %."""
    draw = np.random.default_rng(1)
    false = 0
    for _ in range(400):
        shared = draw.normal(0, 3, 8)
        cells = {
            ("mlp", name, place): dict(enumerate((shared + draw.normal(0, 4, 8)).tolist()))
            for name in WEIGHTS
            if name != TRUE
            for place in (1, 2)
        }
        false += min(two_sided_p(cells).values()) < 0.05
    assert 4 <= false <= 34


def test_a_clear_difference_is_told():
    draw = np.random.default_rng(2)
    cells = {("mlp", name, 1): dict(enumerate(draw.normal(0, 1, 8).tolist())) for name in ("a", "b")}
    cells |= {("mlp", "c", 1): dict(enumerate(draw.normal(-8, 1, 8).tolist()))}
    p = two_sided_p(cells)
    assert p["mlp", "c", 1] == pytest.approx(2 / 2**8) and min(p["mlp", "a", 1], p["mlp", "b", 1]) > 0.05


def test_an_interval_ends_at_what_an_em_can_be():
    made = trials(6, {weights: lambda seed: 48 - 40 * (seed % 2) for weights in WEIGHTS})
    for one in compare(made, ("mlp",), STEPS)[1:]:
        low, high = one.back[-1].em.interval
        assert low > 0 and high == 50.0
