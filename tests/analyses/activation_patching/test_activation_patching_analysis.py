"""What the analysis of activation patching says of a tiny material, and of ones with hardly anything in them."""

from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
import tiny_architectures as tiny
import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf
from tiny_material import tiny_material

from memunlearn.analyses.activation_patching import ActivationPatching
from memunlearn.errors import UserError
from memunlearn.localization.activation_patching import activation_patching
from memunlearn.localization.twins import twins_of
from memunlearn.statistics.intervals import mean_with_interval

CONF = Path(__file__).parents[3] / "conf" / "analysis"
SMALL = {"min_difference": 1e-6}


def cells_of(finding, **where):
    table = finding.tables["activation_patching"]
    rows = [dict(zip(table, values, strict=True)) for values in zip(*table.values(), strict=True)]
    return [row for row in rows if all(row[name] == value for name, value in where.items())]


def test_tables_numbers_and_charts_say_what_the_computation_found():
    material = tiny_material(memorized=14)
    finding = ActivationPatching(**SMALL)(material)
    memorized = material.paragraphs.select(torch.arange(14))
    twins = twins_of(memorized, material.alternatives(memorized, 1))
    found = activation_patching(material.model, material.weights, twins, per_head=False, min_difference=1e-6)
    effects = found["effect"][found["kept"]].numpy()
    clusters = material.clusters[twins.rows[found["kept"]]].numpy()
    assert len(effects) >= 10 and finding.numbers["rows"] == len(effects)
    for i, direction in enumerate(("twin into original", "original into twin")):
        for j, position in enumerate(("intervention", "impact")):
            rows = cells_of(finding, position=position, direction=direction)
            assert [(r["layer"], r["component"], r["head"]) for r in rows] == [(c.layer, c.kind, None) for c in found.cells]
            assert [r["effect"] for r in rows] == pytest.approx(effects[:, i, j].mean(0).tolist(), rel=1e-3, abs=1e-4)
            panel = finding.charts[0].panels[2 * j + i]
            assert position in panel.title and direction in panel.title
            assert np.array(panel.values).flatten() == pytest.approx([r["effect"] for r in rows])
            best = finding.numbers["strongest"][position][direction]
            assert best["effect"] == pytest.approx(max(r["effect"] for r in rows), abs=1e-4)
            _, interval = mean_with_interval(effects[:, i, j, [r["effect"] for r in rows].index(best["effect"])], clusters)
            assert [best["low"], best["high"]] == pytest.approx(interval, rel=1e-3, abs=1e-4)
    per_row = finding.tables["activation_patching_rows"]
    assert len(per_row["origin"]) == 14 and sum(kept is True for kept in per_row["kept"]) == len(effects)
    assert all(
        f"layer {best['twin into original']['layer']}" in s
        for s, best in zip(finding.sentences, finding.numbers["strongest"].values(), strict=True)
    )


def test_effects_are_not_said_to_lie_between_0_and_1():
    material = tiny_material(memorized=8)
    finding = ActivationPatching(**SMALL)(material)
    rows = material.paragraphs.select(material.memorized)
    twins = twins_of(rows, material.alternatives(rows, 1))
    effects = activation_patching(material.model, material.weights, twins, per_head=False, min_difference=1e-6)["effect"]
    effects = effects[~effects.isnan().any(-1).any(-1).any(-1)].flatten().tolist()
    outside = sum(not -1e-3 <= effect <= 1 + 1e-3 for effect in effects) / len(effects)
    assert 0.05 < finding.numbers["outside_0_to_1"] == pytest.approx(outside, abs=0.01)
    assert any("not bounded by 0 and 1" in note and f"{100 * outside:.0f} % lie outside" in note for note in finding.notes)
    chart = finding.charts[0]
    assert "below 0: the opposite" in chart.caption
    assert all("share" not in panel.unit and panel.diverging for panel in chart.panels)


def test_a_layer_whose_mlp_was_made_to_matter_is_named():
    """Nothing moves between tokens, and the second layer's MLP writes far more than anything else."""
    model = tiny.tiny_model("gpt_neo")
    with torch.no_grad():
        for block in model.transformer.h:
            for parameter in block.attn.attention.out_proj.parameters():
                parameter.zero_()
        model.transformer.h[0].mlp.c_proj.weight.mul_(0.1)
        model.transformer.h[1].mlp.c_proj.weight.mul_(20)
    finding = ActivationPatching(**SMALL)(tiny_material(model=model))
    for position, sentence in zip(("intervention", "impact"), finding.sentences, strict=True):
        for best in finding.numbers["strongest"][position].values():
            assert (best["layer"], best["component"][:3]) == (1, "mlp") and best["effect"] > 0.8
        assert "layer 1 mlp" in sentence
    others = [row["effect"] for row in cells_of(finding) if (row["layer"], row["component"][:3]) != (1, "mlp")]
    assert max(others) < 0.5


def test_per_head():
    finding = ActivationPatching(per_head=True, **SMALL)(tiny_material("llama"))
    assert {row["head"] for row in cells_of(finding, component="k")} == {0, 1}
    assert {row["head"] for row in cells_of(finding, component="q")} == {0, 1, 2, 3}
    assert {row["head"] for row in cells_of(finding, component="mlp_out")} == {None}
    assert finding.charts[0].panels[0].columns[:6] == ["q 0", "q 1", "q 2", "q 3", "k 0", "k 1"]


def test_the_same_seed_gives_the_same_numbers():
    material = tiny_material()
    first, second = (ActivationPatching(max_memorized=3, **SMALL)(material) for _ in range(2))
    assert first == second and first.numbers["memorized"] == 3


def test_one_row_has_no_interval_and_all_memorized_is_no_trouble():
    finding = ActivationPatching(**SMALL)(tiny_material(memorized=1, others=0))
    assert all(row["low"] is None and row["high"] is None for row in cells_of(finding))
    assert any("no intervals" in note for note in finding.notes)
    assert all("there is no interval, so chance is not ruled out" in sentence for sentence in finding.sentences)
    nine = ActivationPatching(**SMALL)(tiny_material(memorized=9, others=0))
    assert all(row["low"] is None for row in cells_of(nine)) and "and an interval needs 10" in " ".join(nine.notes)
    assert ActivationPatching(**SMALL)(tiny_material(memorized=4, others=0)).numbers["memorized"] == 4


def test_rows_without_twin_and_rows_left_out_are_counted():
    material = tiny_material()
    real = material.alternatives

    def without_first(rows, replacements):
        found = real(rows, replacements)
        return replace(found, found=found.found & (torch.arange(len(rows)) > 0))

    whole = ActivationPatching(**SMALL)(material)
    material = replace(material, alternatives=without_first)
    finding = ActivationPatching(**SMALL)(material)
    assert finding.numbers["with_twin"] == whole.numbers["with_twin"] - 1
    assert "1 of 4 memorized paragraphs have no twin" in " ".join(finding.notes)
    assert finding.tables["activation_patching_rows"]["intervention"][0] is None
    pairs = finding.tables["activation_patching_rows"]
    differences = sorted(b - a for a, b in zip(pairs["clean_nll"][1:], pairs["corrupted_nll"][1:], strict=True))
    fewer = ActivationPatching(min_difference=differences[-1] - 1e-9)(material)
    assert fewer.numbers["rows"] == 1 and "2 of 3 twins are left out" in " ".join(fewer.notes)


def test_what_cannot_be_done_is_said_in_one_line():
    with pytest.raises(UserError, match="needs memorized paragraphs and there is none"):
        ActivationPatching()(tiny_material(memorized=0))
    with pytest.raises(UserError, match="lower analysis.activation_patching.min_difference"):
        ActivationPatching(min_difference=1e4)(tiny_material())
    material = tiny_material()
    real = material.alternatives

    def none_found(rows, replacements):
        return replace(real(rows, replacements), found=torch.zeros(len(rows), dtype=torch.bool))

    with pytest.raises(UserError, match="analysis.activation_patching.replacements=2"):
        ActivationPatching()(replace(material, alternatives=none_found))


@pytest.mark.parametrize("options", [{"replacements": 0}, {"max_memorized": 0}, {"min_difference": 0.0}])
def test_options_out_of_range(options):
    with pytest.raises(UserError, match=f"analysis.activation_patching.{next(iter(options))}="):
        ActivationPatching(**options)


def test_intervals_are_over_the_clusters_of_the_rows_that_were_kept():
    material = tiny_material(memorized=6, others=0)
    real = material.alternatives

    def without_the_first_two(rows, replacements):
        found = real(rows, replacements)
        return replace(found, found=found.found & (torch.arange(len(rows)) > 1))

    memorized = material.paragraphs
    twins = twins_of(memorized, without_the_first_two(memorized, 1))
    every = activation_patching(
        material.model, material.weights, twins, per_head=False, min_difference=1e-6, batch_size=material.batch_size
    )
    differences = every["corrupted"] - every["clean"]
    threshold, lowest = float(differences.min()) + 1e-9, int(differences.argmin())  # this one goes, too
    clusters = torch.tensor([3, 3, 8, 8, 8, 8])
    clusters[twins.rows[lowest]] = 3
    material = replace(material, clusters=clusters)
    finding = ActivationPatching(min_difference=threshold)(replace(material, alternatives=without_the_first_two))
    found = activation_patching(
        material.model, material.weights, twins, per_head=False, min_difference=threshold, batch_size=material.batch_size
    )
    assert not found["kept"][lowest] and int(found["kept"].sum()) >= 2
    assert finding.numbers["clusters"] == 1 and all(row["low"] is None for row in cells_of(finding))


def test_the_config_builds_the_analysis_with_its_defaults():
    config = OmegaConf.load(CONF / "activation_patching.yaml")
    assert instantiate(config) == ActivationPatching()
    assert set(config) - {"_target_"} == {field.name for field in fields(ActivationPatching)}
