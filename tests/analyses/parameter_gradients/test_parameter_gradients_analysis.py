"""Gradients of EM bins compared: what is said comes from the numbers."""

import dataclasses
import json

import numpy as np
import pytest
import tiny_architectures as tiny
import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf
from tiny_material import tiny_material

from memunlearn.analyses.parameter_gradients import ParameterGradients
from memunlearn.errors import UserError
from memunlearn.localization.parameter_gradients import layer_total, parameter_gradients, shares

QUICK = ParameterGradients(permutations=99)


@pytest.fixture(scope="module")
def material():
    return tiny_material()


@pytest.fixture(scope="module")
def finding(material):
    return QUICK(material)


def with_groups(material, **changes):
    return dataclasses.replace(material, **changes)


def plain(finding):
    return json.loads(json.dumps(dataclasses.asdict(finding)))


@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_tables_are_the_means_of_the_bins(family):
    material = tiny_material(family)
    finding = QUICK(material)
    table = finding.tables["parameter_gradients_cells"]
    result = parameter_gradients(material.model, material.weights, material.paragraphs)
    of_bin = material.in_bin(material.bins[0])
    picked = [i for i, label in enumerate(table["bin"]) if label == material.bins[0]]
    np.testing.assert_allclose(np.array(table["top_mean"])[picked], result["top_mean"][of_bin].mean(0))
    np.testing.assert_allclose(np.array(table["sum_share"])[picked], shares(result["total"])[of_bin].mean(0))
    np.testing.assert_allclose(np.array(table["variance"])[picked], result["variance"][of_bin].mean(0))
    layers = finding.tables["parameter_gradients_layers"]
    picked = [i for i, label in enumerate(layers["bin"]) if label == material.bins[0]]
    np.testing.assert_allclose(np.array(layers["sum_over_paragraphs"])[picked], layer_total(result)[of_bin].sum(0))


def test_the_difference_is_of_shares_and_tested():
    material = tiny_material(memorized=11, others=12)
    finding = QUICK(material)
    result = parameter_gradients(material.model, material.weights, material.paragraphs)
    table = finding.tables["parameter_gradients_difference"]
    by_share = shares(result["top_mean"])
    expected = by_share[material.memorized].mean(0) - by_share[material.non_memorized].mean(0)  # every row is its own cluster
    np.testing.assert_allclose(table["difference"], expected, rtol=1e-6)
    assert len(table["p_corrected"]) == len(result.cells) and min(table["p_corrected"]) >= 1 / 100
    assert sum(table["memorized_share"]) == pytest.approx(1)


def test_finding_is_plain_and_repeatable(material, finding):
    assert plain(finding) == plain(QUICK(material))
    assert all(len(set(map(len, table.values()))) == 1 for table in finding.tables.values())
    assert len({chart.name for chart in finding.charts}) == len(finding.charts) == 4


def planted(material, layer, factor):
    """The same material, with gradients of memorized rows made larger in one layer (None: in all)."""

    def fake(model, weights, paragraphs, top_share):
        result = parameter_gradients(model, weights, paragraphs, top_share)
        ids = {tuple(row.tolist()) for row in material.paragraphs.ids[material.memorized]}
        rows = torch.tensor([tuple(row.tolist()) in ids for row in paragraphs.ids])
        cells = torch.tensor([layer in (cell.layer, None) for cell in result.cells])
        scale = torch.where(rows[:, None] & cells[None], factor, 1.0)
        scaled = {name: (result.values[name][0], result[name] * scale) for name in ("top_mean", "total")}
        return dataclasses.replace(result, values={**result.values, **scaled})

    return fake


@pytest.mark.parametrize("layer, verdict", [(0, "concentrated in lower layers"), (1, "concentrated in higher layers")])
def test_the_sentence_says_where_memorized_gradients_lie(monkeypatch, layer, verdict):
    material = tiny_material(memorized=11, others=12)
    monkeypatch.setattr("memunlearn.analyses.parameter_gradients.measure.parameter_gradients", planted(material, layer, 50.0))
    finding = ParameterGradients(permutations=999)(material)
    assert verdict in finding.sentences[0]
    assert finding.numbers["lower_third"]["p"] < 0.05
    assert finding.numbers["significant_more"] + finding.numbers["significant_less"] > 0
    difference = finding.charts[-1]
    assert sum(len(panel.marked) for panel in difference.panels) == (
        finding.numbers["significant_more"] + finding.numbers["significant_less"]
    )


def test_no_difference_is_said_to_be_none(material):
    generator = torch.Generator().manual_seed(0)
    material = tiny_material(memorized=0, others=24)
    groups = torch.randperm(24, generator=generator) < 12
    finding = QUICK(with_groups(material, memorized=groups, non_memorized=~groups))
    assert finding.sentences[0].startswith("No difference is seen")
    assert finding.sentences[1].startswith("None of ")
    assert "no difference is seen between the whole gradients" in finding.sentences[2]
    assert "larger" not in finding.sentences[2] and "smaller" not in finding.sentences[2]


def test_size_is_compared_where_a_test_bears_it_out(monkeypatch):
    material = tiny_material(memorized=11, others=12)
    for factor, said in ((50.0, "times larger"), (0.001, "times smaller")):
        fake = planted(material, None, factor)
        monkeypatch.setattr("memunlearn.analyses.parameter_gradients.measure.parameter_gradients", fake)
        finding = QUICK(material)
        assert finding.numbers["gradient_ratio_p"] < 0.05
        assert said in finding.sentences[2] and "no difference" not in finding.sentences[2]


def test_nine_clusters_of_a_group_are_not_compared(monkeypatch):
    """However much larger the gradients of memorized rows are."""
    material = tiny_material(memorized=9, others=12)
    monkeypatch.setattr("memunlearn.analyses.parameter_gradients.measure.parameter_gradients", planted(material, 0, 50.0))
    few = QUICK(material)
    assert few.numbers["gradient_ratio_p"] is None and few.numbers["lower_third"]["p"] is None
    assert few.numbers["smallest_p"] is None and few.numbers["significant_more"] is None
    for sentence, why in zip(few.sentences, ("to tell whether", "to test single cells", "for more"), strict=True):
        assert f"oo few clusters {why}" in sentence
    assert not any(word in " ".join(few.sentences) for word in ("concentrated", "larger", "smaller"))
    assert any("No test" in note and "fewer than 10 clusters" in note for note in few.notes)
    assert any("No interval for EM 9" in note for note in few.notes)


@pytest.mark.parametrize("missing", ["memorized", "non_memorized"])
def test_an_empty_group_leaves_the_bins(material, missing):
    finding = QUICK(with_groups(material, **{missing: torch.zeros(len(material.paragraphs), dtype=torch.bool)}))
    assert "cannot be compared" in finding.sentences[0]
    assert any(missing.replace("_", "-") in note for note in finding.notes)
    assert "parameter_gradients_difference" not in finding.tables and len(finding.charts) == 3


def test_one_row_and_one_cluster_have_no_interval_and_no_test():
    material = tiny_material(memorized=1, others=5)
    finding = QUICK(material)
    layers = finding.tables["parameter_gradients_layers"]
    single = [i for i, label in enumerate(layers["bin"]) if label == "9"]
    assert single and all(layers["sum_low"][i] is None for i in single)
    assert finding.numbers["significant_more"] is None
    assert any("No test" in note for note in finding.notes)
    json.dumps(plain(finding))


def test_all_rows_memorized_and_no_rows():
    finding = QUICK(tiny_material(memorized=3, others=0))
    assert list(finding.numbers["bins"]) == ["9"]
    material = tiny_material(memorized=1, others=0)
    nothing = torch.zeros(0, dtype=torch.bool)
    empty = with_groups(
        material,
        paragraphs=material.paragraphs.select([]),
        bins=[],
        clusters=torch.zeros(0),
        memorized=nothing,
        non_memorized=nothing,
    )
    with pytest.raises(UserError, match="no paragraphs"):
        QUICK(empty)


def test_rows_without_a_gradient_are_left_out(material, monkeypatch):
    def zero_first(*arguments):
        result = parameter_gradients(*arguments)
        result["total"][0], result["top_mean"][0] = 0, 0
        return result

    monkeypatch.setattr("memunlearn.analyses.parameter_gradients.measure.parameter_gradients", zero_first)
    finding = QUICK(material)
    assert any(note.startswith("1 paragraphs were left out") for note in finding.notes)
    assert finding.numbers["bins"]["9"]["paragraphs"] == 3
    json.dumps(plain(finding), allow_nan=False)


def test_rows_of_a_bin_are_drawn_with_the_seed(material):
    finding = ParameterGradients(max_per_bin=2, permutations=20)(material)
    assert all(one["paragraphs"] <= 2 for one in finding.numbers["bins"].values())


@pytest.mark.parametrize(
    "options",
    [{"top_share": 0}, {"top_share": 1.5}, {"top_share": True}, {"max_per_bin": 0}, {"permutations": 5}, {"permutations": 2.5}],
)
def test_bad_options_are_refused_by_name(options):
    with pytest.raises(UserError, match=f"analysis.parameter_gradients.{next(iter(options))}="):
        ParameterGradients(**options)


def test_config_has_every_option():
    config = OmegaConf.load("conf/analysis/parameter_gradients.yaml")
    assert instantiate(config) == ParameterGradients()
    assert set(config) - {"_target_"} == {field.name for field in dataclasses.fields(ParameterGradients)}
