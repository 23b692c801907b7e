"""Means over planting seeds, their controls and figures, with plantings that the test makes up."""

import numpy as np
import pytest
import torch

from memunlearn.analyses.known_answer.charts import charts, level_in_words, share
from memunlearn.analyses.known_answer.compare import ATTRIBUTIONS, CONTROLS, compare, planted_em_and_nll
from memunlearn.analyses.known_answer.measure import MEASURES, Planting
from memunlearn.analyses.known_answer.tell import tell
from memunlearn.localization.known_answer import RANDOM, Answer
from memunlearn.statistics.retrieval import Retrieval, auprc_by_chance
from memunlearn.statistics.seeds import mean_interval

C, K, ELIGIBLE = 6, 10, 1000
LEVELS = (1.0, 0.1)


def retrieval(draw):
    return Retrieval(float(draw.uniform(0.01, 0.9)), float(draw.uniform(0, 1)), K, ELIGIBLE)


def plantings(seeds=6, plants=("mlp", "head"), outcome="planted"):
    draw = np.random.default_rng(3)
    made = []
    for seed in range(seeds):
        for plant in plants:
            for level in (None, *LEVELS):
                found = {name: retrieval(draw) for name in (*ATTRIBUTIONS, RANDOM)}
                other = {name: retrieval(draw) for name in ATTRIBUTIONS}
                state = "unplanted" if level is None else outcome
                scored = state in ("unplanted", "planted")
                answer = Answer(
                    plant=plant,
                    level=level,
                    outcome=state,
                    steps=0 if level is None else seed + 1,
                    em=torch.tensor([C, C - seed % 2]),
                    nll=torch.tensor([0.5 * (level or 8), 0.3 * (level or 8)]),
                    retain_nll=1.0 + 0.1 * seed * (level is not None) if scored else None,
                    found=found if scored else {},
                    other=other if scored else {},
                    magnitude=retrieval(draw) if scored else None,
                    moved=None if level is None or not scored else retrieval(draw),
                )
                made.append(Planting(seed, "layer 1", K, ELIGIBLE, answer))
    return made


def of(made, plant, level):
    return [one.answer for one in made if (one.answer.plant, one.answer.level) == (plant, level)]


def control(made, name, plant, level, attribution):
    if name == "another":
        return [answer.other[attribution] for answer in of(made, plant, level)]
    if name == "unplanted":
        return [answer.found[attribution] for answer in of(made, plant, None)]
    if name == "random":
        return [answer.found[RANDOM] for answer in of(made, plant, level)]
    return [answer.magnitude for answer in of(made, plant, level)]


def test_everything_is_a_mean_over_seeds_paired_with_each_control():
    made = plantings()
    compared = compare(made, ("mlp", "head"), LEVELS)
    assert [(one.plant, one.level, one.attribution) for one in compared] == [
        (plant, level, name) for plant in ("mlp", "head") for level in LEVELS for name in ATTRIBUTIONS
    ]
    for one in compared:
        answers = of(made, one.plant, one.level)
        for measure in MEASURES:
            own = [getattr(answer.found[one.attribution], measure) for answer in answers]
            mean, (low, high) = mean_interval(own)
            assert one.planted[measure].value == pytest.approx(mean)
            assert one.planted[measure].interval == pytest.approx((max(low, 0), min(high, 1)))
            assert one.ceiling[measure].value == pytest.approx(np.mean([getattr(a.moved, measure) for a in answers]))
            for name in CONTROLS:
                others = [getattr(found, measure) for found in control(made, name, one.plant, one.level, one.attribution)]
                assert one.controls[name][measure].value == pytest.approx(np.mean(others))
                assert one.over[name][measure].value == pytest.approx(np.mean(np.subtract(own, others)))
                low, high = one.over[name][measure].interval
                assert -1 <= low <= one.over[name][measure].value <= high <= 1
        assert one.seeds == 6 and one.em == C - 0.25 and one.nll == pytest.approx(0.4 * one.level)
        assert set(one.p) == set(CONTROLS) and one.strongest in CONTROLS
        assert one.p[one.strongest] == max(one.p.values())


def test_four_seeds_are_points():
    for one in compare(plantings(seeds=4), ("mlp",), LEVELS):
        assert not one.can_tell and not one.finds and one.strongest is None and set(one.p.values()) == {None}
        assert one.planted["auprc"].interval is None and one.planted["auprc"].value > 0


def test_no_seed_at_all_is_nothing():
    assert planted_em_and_nll([]) == (None, None)
    made = plantings(outcome="lowest level not reached")
    compared = compare(made, ("mlp", "head"), LEVELS)
    assert {(one.seeds, one.em, one.planted["auprc"].value) for one in compared} == {(0, None, None)}
    finding = tell(compared, made, 6, 2, True)
    assert finding.sentences[0] == "No planted model could be scored, so nothing can be said about what the attributions find."
    assert finding.sentences[1].endswith("no planted model could be scored.")
    assert all("nothing to show" in chart.caption for chart in finding.charts)
    assert sum(note.startswith("Lowest level not reached: ") for note in finding.notes) == 12  # a note a run
    assert any("with the continuation of another row" in note for note in finding.notes)


def test_chance_is_that_of_a_random_ranking():
    one = plantings(seeds=1)[0]
    assert one.chance("auprc") == auprc_by_chance(K, ELIGIBLE) and one.chance("recall_at_k") == K / ELIGIBLE


def test_numbers_name_every_control_of_every_attribution():
    made = plantings()
    numbers = tell(compare(made, ("mlp", "head"), LEVELS), made, 6, 2, False).numbers
    assert (numbers["seeds"], numbers["planted_rows"], numbers["training_runs"]) == (6, 2, 12)
    assert numbers["states_scored"] == 24 and numbers["eligible"] == ELIGIBLE
    level = numbers["plants"]["head"]["levels"]["0.1"]
    assert (level["seeds"], level["planted"], level["passed_over"], level["not_planted"]) == (6, 6, 0, 0)
    assert level["steps"] == 3.5 and level["nll"] == pytest.approx(0.04)
    for entries in level["attributions"].values():
        for measure in MEASURES:
            for suffix in ("", *(f"_{name}" for name in CONTROLS), *(f"_over_{name}" for name in CONTROLS)):
                assert entries[f"{measure}{suffix}"] is not None and len(entries[f"{measure}{suffix}_ci"]) == 2
        assert entries["finds"] in (True, False) and entries["strongest_control"] in CONTROLS


def test_a_figure_has_a_panel_a_plant_and_its_chance():
    made = plantings()
    compared = compare(made, ("mlp", "head"), LEVELS)
    auprc, recall = charts(compared, made)
    for chart, measure in ((auprc, "auprc"), (recall, "recall_at_k")):
        assert [panel.title for panel in chart.panels] == ["One layer's MLP", "One attention head"]
        best = max(compared, key=lambda one: one.planted[measure].value)
        assert f"is highest, {share(best.planted[measure].value)}, for {best.attribution}" in chart.caption
        assert f"at {level_in_words(best)}" in chart.caption
        for panel, plant in zip(chart.panels, ("mlp", "head"), strict=True):
            lines = {series.label: series for series in panel.series}
            assert len(lines) == 2 * len(ATTRIBUTIONS) + 2 and panel.log_x and panel.log_y == (measure == "auprc")
            assert lines["chance"].y == [made[0].chance(measure)] * 2
            for name in ATTRIBUTIONS:
                mine = [one for one in compared if (one.plant, one.attribution) == (plant, name)]
                assert lines[name].y == [one.planted[measure].value for one in mine]
                assert lines[name].x == [pytest.approx(0.4 * level) for level in LEVELS]
                assert lines[f"{name}, another paragraph"].y == [one.controls["another"][measure].value for one in mine]
                assert all(low > 0 or measure != "auprc" for low in lines[name].low)


def test_two_digits_are_enough_for_a_share():
    assert [share(value) for value in (None, 0.3149, 0.00521, 1.0)] == ["-", "0.31", "0.0052", "1"]


def test_what_planting_did_to_other_text_is_noted():
    made = plantings()
    notes = tell(compare(made, ("mlp", "head"), LEVELS), made, 6, 2, False).notes
    assert "NLL of the retain rows changed by +0.00 to +0.50 nats per token" in notes[-1]
