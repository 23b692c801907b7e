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
from memunlearn.localization.weight_noise import noise, weight_spread
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


def halves_of(caught):
    """[seeds, rows] bool of the rows that are read, without those of own text; in the tiny material each row is a cluster."""
    return caught["read"][:, :9]


@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_the_table_is_what_the_noise_does_to_rows_that_no_weight_was_chosen_for(monkeypatch, family):
    material = tiny_material(family)
    caught = caught_arguments(monkeypatch)
    finding = QUICK(material)
    names = [weight.name for weight in material.weights]
    seeds = [int(seed) for seed in np.random.SeedSequence(material.seed).generate_state(2)]
    unit = weight_spread(material.model, material.weights)
    for place, seed in enumerate(seeds):
        read = halves_of(caught)[place]
        memorized, others = ((material.memorized & ~read), (material.non_memorized & ~read))
        forget, retain = (material.paragraphs.select(group) for group in (memorized, others))
        top = select_top(attribute(material.model, names, forget, retain, method=Gradient()), material.weights, 0.05)
        masks = {
            "top": top,
            "top of non-memorized": select_top(attribute(material.model, names, retain, forget), material.weights, 0.05),
            "random": select_random(material.weights, 0.05, seed=seed),
            "random matched": select_random_matched(top, material.weights, seed=seed),
        }
        for choice, mask in masks.items():
            with noise(material.model, mask.indices, 3 * unit, seed):
                scores = score(material.model, material.paragraphs)
            for name, group in (("memorized", material.memorized), ("non_memorized", material.non_memorized)):
                [row] = rows_of(finding, choice=choice, scale=3.0, seed=place, set=name)
                assert row["nll"] == pytest.approx(float(scores.nll[group & read].double().mean()), rel=1e-4)
                assert row["em"] == pytest.approx(float(scores.em[group & read].double().mean()))
                assert row["deviation"] == pytest.approx(3 * unit)


def test_each_seed_reads_half_of_the_clusters_of_each_group(monkeypatch):
    material = tiny_material(memorized=6, others=8)
    clusters = torch.tensor([0, 0, 1, 2, 3, 4, 5, 5, 6, 7, 8, 0, 1, 9])  # two non-memorized rows are like memorized ones
    material = dataclasses.replace(material, clusters=clusters)
    caught = caught_arguments(monkeypatch)
    assert any("the other half is read" in note for note in dataclasses.replace(QUICK, seeds=8)(material).notes)
    read = caught["read"]
    assert read.shape == (8, 6 + 8 + 8) and torch.equal(read[:, 6:14], read[:, 14:])  # own text with its prefix
    assert len({tuple(row.tolist()) for row in read}) > 4  # drawn anew
    for row in read[:, :14]:
        assert not set(clusters[row].tolist()) & set(clusters[~row].tolist())
        assert len(clusters[:6][row[:6]].unique()) == 3 and len(set(clusters[6:][row[6:]].tolist()) - {0, 1}) == 3


def test_without_noise_the_scores_are_the_models_own(material, finding):
    [row] = rows_of(finding, choice="none", set="memorized")
    assert (row["em"], row["scale"], row["seed"]) == (9, 0, None)
    for chart in finding.charts:
        for panel in chart.panels:
            assert all(series.x[0] == 0 and series.y[0] == panel.series[0].y[0] for series in panel.series)


def caught_arguments(monkeypatch):
    """What the computation is asked for, once the analysis has run: the choices, and the rows to read."""
    caught = {}

    def catch(model, choices, *arguments, **named):
        caught.update(choices=choices, read=named["read"])
        return computation.weight_noise(model, choices, *arguments, **named)

    monkeypatch.setattr("memunlearn.analyses.weight_noise.measure.weight_noise", catch)
    return caught


def caught_masks(monkeypatch, analysis, material):
    """The weights that the analysis disturbs, by choice."""
    caught = caught_arguments(monkeypatch)
    analysis(material)
    return caught["choices"]


def size(indices):
    return sum(len(flat) for flat in indices.values())


def test_random_weights_are_as_many_and_matched_ones_in_each_tensor(monkeypatch, material):
    masks = caught_masks(monkeypatch, QUICK, material)
    assert list(masks) == ["top", "top of non-memorized", "random", "random matched"]
    assert len({size(one) for drawn in masks.values() for one in drawn}) == 1
    for top, matched in zip(masks["top"], masks["random matched"], strict=True):
        assert {n: len(f) for n, f in matched.items()} == {n: len(f) for n, f in top.items()}
    for first, second in masks.values():  # chosen anew for each seed
        assert any(not torch.equal(first[name], second.get(name, torch.empty(0))) for name in first)


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


def test_one_memorized_row_alone():
    finding = dataclasses.replace(QUICK, seeds=1)(tiny_material(memorized=1, others=0))
    assert finding.numbers["paragraphs"] == {"memorized": 1}
    assert any("no non-memorized" in note for note in finding.notes) and any("no band" in note for note in finding.notes)
    assert all(len(chart.panels) == 1 for chart in finding.charts) and len(finding.sentences) == 2
    assert any("chosen for the rows that are read" in note for note in finding.notes)
    assert finding.numbers["against_control"] is None
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
