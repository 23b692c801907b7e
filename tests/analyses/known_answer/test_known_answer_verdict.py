"""What known_answer says of made-up plantings: a find stands above every control, and what cannot be told is not."""

import dataclasses

import numpy as np
import pytest
import torch
from tiny_material import C

from memunlearn.analyses.known_answer.compare import ATTRIBUTIONS, compare
from memunlearn.analyses.known_answer.measure import Planting
from memunlearn.analyses.known_answer.tell import tell
from memunlearn.localization.known_answer import RANDOM, Answer
from memunlearn.statistics.retrieval import Retrieval


def told(compared, plantings):
    return tell(compared, plantings, 8, 1, False)


def made_up(values, level=0.1, null=0.02, random=0.01, another=0.015, magnitude=0.012):
    """Plantings of one plant: the attributions' AUPRC by seed. A control is a number, or one a seed."""

    def of(value, seed):
        return Retrieval(value[seed] if isinstance(value, list) else value + 0.0001 * (seed % 3), 0.1, 10, 1000)

    plantings = []
    for seed in range(len(next(iter(values.values())))):
        for at in (None, level):
            found = {name: of(null if at is None else values[name], seed) for name in ATTRIBUTIONS}
            found[RANDOM] = of(random, seed)
            other = {name: of(another, seed) for name in ATTRIBUTIONS}
            outcome = "unplanted" if at is None else "planted"
            moved = None if at is None else Retrieval(1.0, 1.0, 10, 1000)
            answer = Answer(
                plant="mlp",
                level=at,
                outcome=outcome,
                steps=3,
                em=torch.tensor([C]),
                nll=torch.tensor([0.05]),
                retain_nll=1.0,
                found=found,
                other=other,
                magnitude=of(magnitude, seed),
                moved=moved,
            )
            plantings.append(Planting(seed, "layer 1", 10, 1000, answer))
    return plantings


HIGH, LOW = [0.5, 0.6, 0.55, 0.4, 0.5, 0.7, 0.45, 0.5], [0.012, 0.009, 0.015, 0.008, 0.02, 0.011, 0.007, 0.013]


def test_a_verdict_follows_the_corrected_p_values():
    once = [0.9, *LOW[1:]]
    plantings = made_up({"gradient": HIGH, "gradient_x_weight": LOW, "contrastive": once, "fisher": HIGH})
    compared = compare(plantings, ("mlp",), (0.1,))
    assert [one.attribution for one in compared if one.finds] == ["gradient", "fisher"]
    said = told(compared, plantings).sentences
    assert "gradient finds one layer's MLP at 1 of 1 tested levels; fisher finds" in said[0]
    assert said[0].endswith("gradient_x_weight and contrastive find none.")
    assert "corrected for all 16 comparisons" in said[0]
    at = f"level 0.1 (planted NLL 0.05 nats per token, EM {C}.0)"
    assert f"AUPRC at {at} over 8 seeds: gradient 0.53 [0.45, 0.6] (another paragraph 0.015; p = 0.0" in said[1]
    assert "|w|, which knows no paragraph, 0.012; how far each weight moved, the ceiling, 1." in said[1]
    assert "95 % intervals over 8 planting seeds" in told(compared, plantings).charts[0].caption


@pytest.mark.parametrize("control", ["another", "magnitude", "null", "random"])
def test_what_one_control_finds_as_well_is_no_find(control):
    """Above three of the four is not enough: what the fourth finds without the paragraph, the paragraph does not show."""
    as_well = [value + sign * 0.01 for value, sign in zip(HIGH, (1, -1, 1, -1, 1, -1, -1, 1), strict=True)]
    plantings = made_up(dict.fromkeys(ATTRIBUTIONS, HIGH), **{control: as_well})
    compared = compare(plantings, ("mlp",), (0.1,))
    name = {"null": "unplanted"}.get(control, control)
    assert [one.strongest for one in compared] == [name] * len(ATTRIBUTIONS) and not any(one.finds for one in compared)
    assert all(p < 0.05 for one in compared for other, p in one.p.items() if other != name)
    assert told(compared, plantings).sentences[0].startswith("None of the attributions finds any plant")


def test_attributions_plants_levels_and_controls_are_one_family():
    """What stands out by itself does not beside many cells that chance moves as far."""
    draw = np.random.default_rng(0)
    mild = [0.03, 0.018, 0.03, 0.02, 0.017, 0.04, 0.016, 0.02]
    first = made_up({"gradient": mild} | dict.fromkeys(ATTRIBUTIONS[1:], LOW))
    alone = compare(first, ("mlp",), (0.1,))[0]
    others, levels = list(first), (0.2, 0.3, 0.4, 0.5, 0.6)
    for level in levels:
        noise = made_up({name: (0.015 + 0.01 * draw.normal(size=8)).tolist() for name in ATTRIBUTIONS}, level)
        others += [one for one in noise if one.answer.level is not None]
    beside = next(one for one in compare(others, ("mlp",), (*levels, 0.1)) if (one.level, one.attribution) == (0.1, "gradient"))
    assert 1 / 2**8 <= alone.p["another"] < 0.05 < beside.p["another"]


def test_a_figure_draws_models_at_their_own_loss():
    plantings = made_up(dict.fromkeys(ATTRIBUTIONS, [0.1] * 5))
    panel = told(compare(plantings, ("mlp",), (0.1,)), plantings).charts[0].panels[0]
    assert all(series.x == [pytest.approx(0.05)] for series in panel.series)


def test_a_level_passed_over_is_told_and_not_scored():
    plantings = made_up(dict.fromkeys(ATTRIBUTIONS, [0.1] * 5))
    first = next(i for i, one in enumerate(plantings) if one.answer.level is not None)
    jumped = dataclasses.replace(
        plantings[first].answer, level=0.2, outcome="passed over", retain_nll=None, found={}, other={}, magnitude=None
    )
    plantings.append(dataclasses.replace(plantings[first], answer=jumped))
    compared = compare(plantings, ("mlp",), (0.2, 0.1))
    assert {(one.level, one.seeds, one.nll is None) for one in compared} == {(0.2, 0, True), (0.1, 5, False)}
    assert "5 training runs, 5 planted models scored: 5 of 5 recite" in told(compared, plantings).sentences[-2]
    assert told(compared, plantings).sentences[-2].endswith("; 1 level passed over in one step.")
    said = f"Passed over: one layer's MLP (layer 1), seed 0, level 0.2 nats per token: NLL 0.050, EM {C} after 3 steps."
    assert said in told(compared, plantings).notes


def test_none_finds_them_is_a_result():
    plantings = made_up(dict.fromkeys(ATTRIBUTIONS, LOW))
    assert (
        told(compare(plantings, ("mlp",), (0.1,)), plantings)
        .sentences[0]
        .startswith("None of the attributions finds any plant")
    )
