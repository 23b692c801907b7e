"""Noise on top and on random weights compared: the numbers, and what is said of them."""

import dataclasses
import json

import numpy as np
import pytest
import tiny_architectures as tiny
import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf
from tiny_material import tiny_material

from memunlearn.analyses.weight_noise import WeightNoise
from memunlearn.errors import UserError
from memunlearn.localization import weight_noise as computation
from memunlearn.localization.weight_attribution import Contrastive, Gradient, attribute
from memunlearn.localization.weight_noise import NoiseScores, noise, weight_spread
from memunlearn.masks import select_random, select_random_matched, select_top
from memunlearn.models import Filter, count_per_component
from memunlearn.scoring.score import score

QUICK = WeightNoise(fraction=0.05, scales=[0.5, 3], seeds=2)


@pytest.fixture(scope="module")
def material():
    return tiny_material()


@pytest.fixture(scope="module")
def finding(material):
    return QUICK(material)


def plain(finding):
    return json.loads(json.dumps(dataclasses.asdict(finding), allow_nan=False))


def rows_of(finding, **wanted):
    table = finding.tables["weight_noise"]
    rows = [dict(zip(table, values, strict=True)) for values in zip(*table.values(), strict=True)]
    return [row for row in rows if all(row[key] == value for key, value in wanted.items())]


@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_the_table_is_what_the_noise_does(family):
    material = tiny_material(family)
    finding = QUICK(material)
    names = [weight.name for weight in material.weights]
    forget, retain = (material.paragraphs.select(group) for group in (material.memorized, material.non_memorized))
    top = select_top(attribute(material.model, names, forget, retain, Gradient()), material.weights, 0.05)
    seeds = [int(seed) for seed in np.random.SeedSequence(material.seed).generate_state(2)]
    unit = weight_spread(material.model, material.weights)
    for place, seed in enumerate(seeds):
        masks = {
            "top": top,
            "random": select_random(material.weights, 0.05, seed=seed),
            "random matched": select_random_matched(top, material.weights, seed=seed),
        }
        for choice, mask in masks.items():
            with noise(material.model, mask.indices, 3 * unit, seed):
                scores = score(material.model, material.paragraphs)
            for name, group in (("memorized", material.memorized), ("non_memorized", material.non_memorized)):
                [row] = rows_of(finding, choice=choice, scale=3.0, seed=place, set=name)
                assert row["nll"] == pytest.approx(float(scores.nll[group].double().mean()), rel=1e-4)
                assert row["em"] == pytest.approx(float(scores.em[group].double().mean()))
                assert row["deviation"] == pytest.approx(3 * unit)


def test_without_noise_the_scores_are_the_models_own(material, finding):
    [row] = rows_of(finding, choice="none", set="memorized")
    assert (row["em"], row["scale"], row["seed"]) == (9, 0, None)
    for chart in finding.charts:
        for panel in chart.panels:
            assert all(series.x[0] == 0 and series.y[0] == panel.series[0].y[0] for series in panel.series)


def caught_masks(monkeypatch, analysis, material):
    """The weights that the analysis disturbs, by choice."""
    caught = {}

    def catch(model, choices, *arguments):
        caught.update(choices)
        return computation.weight_noise(model, choices, *arguments)

    monkeypatch.setattr("memunlearn.analyses.weight_noise.weight_noise", catch)
    analysis(material)
    return caught


def size(indices):
    return sum(len(flat) for flat in indices.values())


def test_random_weights_are_as_many_and_matched_ones_in_each_tensor(monkeypatch, material):
    masks = caught_masks(monkeypatch, QUICK, material)
    top = masks["top"][0]
    assert all(size(one) == size(top) for drawn in masks.values() for one in drawn)
    assert all({n: len(f) for n, f in one.items()} == {n: len(f) for n, f in top.items()} for one in masks["random matched"])
    for choice in ("random", "random matched"):  # drawn anew for each seed
        assert any(not torch.equal(masks[choice][0][name], masks[choice][1].get(name, torch.empty(0))) for name in top)


@pytest.mark.parametrize("family", ["gpt2", "gpt_neo", "gpt_neox"])
def test_a_filter_holds_for_every_choice(monkeypatch, family):
    material = tiny_material(family)
    analysis = dataclasses.replace(QUICK, layers=[1], heads=[2], components=["q", "out"])
    inside = {name: set(flat.tolist()) for name, flat in _passing(material, Filter([1], ["q", "out"], [2])).items()}
    for drawn in caught_masks(monkeypatch, analysis, material).values():
        for one in drawn:
            assert all(set(flat.tolist()) <= inside[name] for name, flat in one.items())
            counts = count_per_component(one, material.weights)
            assert sum(counts.values()) == counts["1.q"] + counts["1.out"] == round(0.05 * 2 * tiny.D * tiny.HEAD_SIZE)


def _passing(material, filter):
    from memunlearn.models import passing_positions

    return passing_positions(material.weights, filter)


def test_finding_is_plain_repeatable_and_leaves_the_model_alone(material, finding):
    state = {name: value.clone() for name, value in material.model.state_dict().items()}
    assert plain(finding) == plain(QUICK(material))
    assert all(torch.equal(state[name], value) for name, value in material.model.state_dict().items())
    assert plain(finding) != plain(QUICK(dataclasses.replace(material, seed=1)))


def made_up(monkeypatch, em, nll):
    """The analysis of a made-up outcome: (choice, scale, seed, memorized?) -> EM and NLL of every row."""

    def fake(model, choices, paragraphs, unit, scales, seeds, batch_size):
        shape = (len(choices), len(scales), len(seeds), len(paragraphs))
        values = torch.empty(2, *shape, dtype=torch.float64)
        for c, choice in enumerate(choices):
            for s, scale in enumerate(scales):
                for r in range(len(seeds)):
                    values[0, c, s, r, :4] = em(choice, scale, r)
                    values[0, c, s, r, 4:] = 0
                    values[1, c, s, r, :4], values[1, c, s, r, 4:] = (nll(choice, scale, r, m) for m in (True, False))
        return NoiseScores(tuple(choices), tuple(scales), unit, values[0], values[1])

    monkeypatch.setattr("memunlearn.analyses.weight_noise.weight_noise", fake)
    return QUICK(tiny_material())


def test_the_sentence_says_when_em_halves_and_what_suffers(monkeypatch):
    finding = made_up(
        monkeypatch,
        em=lambda choice, scale, seed: 9 if choice != "top" else 4.4 - seed if scale > 1 else 8,
        nll=lambda choice, scale, seed, memorized: 30.0 + seed if memorized else 20.0,
    )
    assert "is the least that halves memorized EM (from 9.0 to 3.9 tokens)" in finding.sentences[0]
    assert "memorized text suffers more in every seed" in finding.sentences[0]
    assert "the top weights do more harm than random ones in every seed" in finding.sentences[1]
    assert finding.numbers["halved_at"] == 3 and finding.numbers["halved_at_by_choice"]["random"] is None


def test_no_effect_and_no_difference_are_said_to_be_none(monkeypatch):
    finding = made_up(
        monkeypatch,
        em=lambda choice, scale, seed: 8 - seed,
        nll=lambda choice, scale, seed, memorized: 5.0 + 45 * seed if memorized else 30.0,
    )
    assert finding.sentences[0].startswith("No noise up to 3 standard deviations")
    assert "depends on the seed" in finding.sentences[0]
    assert finding.sentences[1].count("no difference between top and random") == 2
    assert finding.numbers["halved_at"] is None and finding.numbers["compared_at"] == 3


def test_noise_that_breaks_the_model_is_none(monkeypatch):
    finding = made_up(monkeypatch, lambda *_: 0, lambda choice, scale, *_: float("nan") if scale > 1 else 5.0)
    assert rows_of(finding, choice="top", scale=3.0)[0]["nll"] is None
    plain(finding)


def test_one_memorized_row_alone():
    finding = dataclasses.replace(QUICK, seeds=1)(tiny_material(memorized=1, others=0))
    assert finding.numbers["paragraphs"] == {"memorized": 1}
    assert any("no non-memorized" in note for note in finding.notes) and any("no band" in note for note in finding.notes)
    assert all(len(chart.panels) == 1 for chart in finding.charts)
    plain(finding)


def test_missing_groups_are_named():
    with pytest.raises(UserError, match="no memorized paragraph"):
        QUICK(tiny_material(memorized=0))
    with pytest.raises(UserError, match="analysis.weight_noise.attribution needs non-memorized"):
        dataclasses.replace(QUICK, attribution=Contrastive())(tiny_material(memorized=2, others=0))


@pytest.mark.parametrize(
    "options",
    [
        {"fraction": 0},
        {"fraction": 2},
        {"scales": []},
        {"scales": 3},
        {"scales": [2, 1]},
        {"scales": [0, 1]},
        {"seeds": 0},
        {"seeds": None},
        {"max_memorized": 0},
        {"max_non_memorized": 1.5},
        {"attribution": "gradient"},
    ],
)
def test_bad_options_are_refused_by_name(options):
    with pytest.raises(UserError, match=rf"analysis.weight_noise.{next(iter(options))}\b"):
        WeightNoise(**options)


def test_a_fraction_below_one_weight_and_an_unknown_head_are_refused(material):
    with pytest.raises(UserError, match="analysis.weight_noise.fraction"):
        dataclasses.replace(QUICK, fraction=1e-9)(material)
    with pytest.raises(UserError, match="heads: 9 does not exist"):
        dataclasses.replace(QUICK, heads=[9])(material)


def test_config_has_every_option():
    config = OmegaConf.load("conf/analysis/weight_noise.yaml")
    made = instantiate(config, _convert_="all")
    assert dataclasses.replace(made, scales=tuple(made.scales)) == WeightNoise()
    assert set(config) - {"_target_"} == {field.name for field in dataclasses.fields(WeightNoise)}
