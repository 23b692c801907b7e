"""What the analysis of activation gradients says of a tiny material, and of ones with hardly anything in them."""

from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
import tiny_architectures as tiny
import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf
from tiny_material import C, P, tiny_material

from memunlearn.analyses.activation_gradients import ActivationGradients
from memunlearn.errors import UserError
from memunlearn.localization.activation_gradients import activation_gradients
from memunlearn.statistics.permutation import max_t

CONF = Path(__file__).parents[3] / "conf" / "analysis"
QUICK = ActivationGradients(permutations=99)


def records(finding, table, **where):
    columns = finding.tables[table]
    rows = [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
    return [row for row in rows if all(row[name] == value for name, value in where.items())]


@pytest.fixture(scope="module")
def material():
    return tiny_material("llama", memorized=11, others=11)


@pytest.fixture(scope="module")
def finding(material):
    return QUICK(material)


def test_shares_add_up_over_components_heads_and_positions(finding):
    for label in ("memorized", "non-memorized"):
        cells = records(finding, "activation_gradients", set=label)
        assert sum(row["share"] for row in cells if row["head"] is None) == pytest.approx(1)
        for kind in "qkv":
            whole = next(r for r in cells if (r["layer"], r["component"], r["head"]) == (1, kind, None))
            heads = [r for r in cells if (r["layer"], r["component"]) == (1, kind) and r["head"] is not None]
            assert len(heads) == (4 if kind == "q" else 2)
            assert sum(r["share"] for r in heads) == pytest.approx(whole["share"])
            assert np.mean([r["magnitude"] for r in heads]) == pytest.approx(whole["magnitude"])
            assert whole["low"] <= whole["share"] <= whole["high"]
        assert sum(r["share"] for r in records(finding, "activation_gradients_positions", set=label)) == pytest.approx(1)
        by_position = records(finding, "activation_gradients_by_position", set=label)
        assert len({r["position"] for r in by_position}) == P + C - 1
        assert sum(r["share"] for r in by_position) == pytest.approx(1)


def test_the_comparison_is_max_t_on_the_shares_of_each_family(material, finding):
    rows = torch.cat([material.rows(material.memorized), material.rows(material.non_memorized)])
    found = activation_gradients(material.model, material.weights, material.paragraphs.select(rows))
    expected = max_t(found["share"].numpy(), material.memorized[rows].numpy(), material.clusters[rows].numpy(), 99, 0)
    heads = records(finding, "activation_gradients_comparison", family="heads")
    assert [(r["layer"], r["component"], r["head"]) for r in heads] == [(c.layer, c.kind, c.head) for c in found.cells]
    assert [r["difference"] for r in heads] == pytest.approx(expected.difference.tolist(), rel=1e-3, abs=1e-7)
    assert [r["p"] for r in heads] == pytest.approx(expected.p.tolist(), abs=0.03)
    best = finding.numbers["tests"]["heads"]
    assert best["t"] == max(r["t"] for r in heads) and best["cells"] == len(heads)
    name = f"layer {best['layer']} {best['component']}" + ("" if best["head"] is None else f" head {best['head']}")
    assert name in finding.sentences[0]
    components = records(finding, "activation_gradients_comparison", family="components")
    heat = next(chart for chart in finding.charts if chart.name == "activation_gradients_difference").panels[0]
    assert np.array(heat.values).flatten() == pytest.approx([100 * r["difference"] for r in components])
    assert heat.diverging and len(heat.columns) == 6


def test_a_head_that_stands_out_is_named_with_its_p():
    """What a backward pass brings to head 2 of layer 1 is 50 times as much in memorized rows, and only there."""
    material = tiny_material("gpt_neo", memorized=12, others=12)
    prefixes = material.paragraphs.prefixes[:12]
    seen = []

    def remember(_module, _args, named):
        seen.append(named["input_ids"][:, :P])

    def amplify(_module, inputs):
        if inputs[0].requires_grad:
            memorized = (seen[-1][:, None] == prefixes[None]).all(2).any(1)
            factor = torch.ones(len(memorized), 1, tiny.D)
            factor[memorized, :, 2 * tiny.HEAD_SIZE : 3 * tiny.HEAD_SIZE] = 50.0
            inputs[0].register_hook(lambda gradient: gradient * factor)

    material.model.register_forward_pre_hook(remember, with_kwargs=True)
    material.model.transformer.h[1].attn.attention.out_proj.register_forward_pre_hook(amplify)
    finding = QUICK(material)
    best = finding.numbers["tests"]["heads"]
    assert (best["layer"], best["head"]) == (1, 2) and best["p"] == 0.01 and best["exceeding"] >= 1
    assert best["share"]["memorized"] > 3 * best["share"]["non-memorized"]
    assert f"most clearly in layer 1 {best['component']} head 2" in finding.sentences[0] and "p = 0.010" in finding.sentences[0]
    heads = next(chart for chart in finding.charts if chart.name == "activation_gradients_heads")
    assert any((1, 2) in panel.marked for panel in heads.panels)


def test_without_a_difference_the_sentence_says_so():
    material = tiny_material("gpt_neo", memorized=12, others=12)
    alike = torch.arange(24) % 2 == 0
    finding = QUICK(replace(material, memorized=alike, non_memorized=~alike))
    assert finding.numbers["tests"]["heads"]["p"] > 0.05
    assert finding.sentences[0].startswith("In no layer, component or head")


@pytest.mark.parametrize(("memorized", "others", "missing"), [(3, 0, "non-memorized"), (0, 4, "memorized")])
def test_one_group_alone(memorized, others, missing):
    finding = QUICK(tiny_material(memorized=memorized, others=others))
    assert any(f"no {missing} paragraphs" in note for note in finding.notes)
    assert finding.tables["activation_gradients_comparison"]["p"] == []
    assert "cannot be compared" in finding.sentences[0]
    names = {chart.name for chart in finding.charts}
    assert "activation_gradients_difference" not in names
    assert ("activation_gradients_twins" in names) == bool(memorized)
    assert set(finding.tables["activation_gradients"]["set"]) == {"memorized" if memorized else "non-memorized"}


def test_one_row_of_each_has_no_intervals_and_no_test():
    finding = QUICK(tiny_material(memorized=1, others=1))
    assert set(finding.tables["activation_gradients_positions"]["low"]) == {None}
    assert finding.numbers["tests"] == {"components": None, "heads": None}
    assert any("fewer than 10 clusters" in note for note in finding.notes)
    lines = next(chart for chart in finding.charts if chart.name == "activation_gradients_positions").panels[0]
    assert all(series.low is None for series in lines.series)


def test_nine_clusters_of_a_group_have_no_interval_and_no_test():
    finding = QUICK(tiny_material(memorized=9, others=10))
    assert "cannot be compared: that takes 10 clusters of each" in finding.sentences[0]
    assert any("fewer than 10 clusters cannot be tested" in note for note in finding.notes)
    assert finding.numbers["tests"] == {"components": None, "heads": None}
    for label, has_interval in (("memorized", False), ("non-memorized", True)):
        assert (finding.numbers["groups"][label]["prefix_share"]["low"] is not None) == has_interval
        rows = records(finding, "activation_gradients_positions", set=label)
        assert {row["low"] is not None for row in rows} == {has_interval}


def test_nothing_to_analyse_is_said_in_one_line():
    material = tiny_material()
    nobody = torch.zeros(len(material.paragraphs), dtype=torch.bool)
    with pytest.raises(UserError, match="there are neither"):
        QUICK(replace(material, memorized=nobody, non_memorized=nobody))


def test_rows_without_a_twin_are_counted_and_no_twin_at_all_is_no_trouble():
    material = tiny_material()
    real = material.alternatives

    def some(how_many):
        def alternatives(rows, replacements):
            found = real(rows, replacements)
            return replace(found, found=found.found & (torch.arange(len(rows)) < how_many))

        return replace(material, alternatives=alternatives)

    finding = QUICK(some(2))
    assert finding.numbers["memorized_with_twin"] == 2
    assert set(finding.tables["activation_gradients_twins"]["rows"]) == {2}
    assert "2 of 4 memorized paragraphs have no perturbed twin" in " ".join(finding.notes)
    finding = QUICK(some(0))
    assert set(finding.tables["activation_gradients_twins"]["distance"]) == {None}
    assert finding.numbers["largest_distance"] is None


def test_the_same_seed_gives_the_same_numbers_and_caps_hold():
    material = tiny_material()
    analysis = ActivationGradients(permutations=99, max_memorized=2, max_non_memorized=3)
    first, second = analysis(material), analysis(material)
    assert first == second
    assert [group["rows"] for group in first.numbers["groups"].values()] == [2, 3]


@pytest.mark.parametrize("option", ["replacements", "max_memorized", "max_non_memorized", "permutations"])
def test_options_out_of_range(option):
    with pytest.raises(UserError, match=f"analysis.activation_gradients.{option}=0"):
        ActivationGradients(**{option: 0})


def test_the_config_builds_the_analysis_with_its_defaults():
    config = OmegaConf.load(CONF / "activation_gradients.yaml")
    assert instantiate(config) == ActivationGradients()
    assert set(config) - {"_target_"} == {field.name for field in fields(ActivationGradients)}
