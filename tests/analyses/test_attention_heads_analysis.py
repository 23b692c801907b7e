"""A head that was made to attend to rare tokens is named, and no other; missing groups are said."""

import importlib
import json
from dataclasses import replace

import numpy as np
import pytest
import tiny_architectures as tiny
import torch
from hand_set_heads import model_whose_heads_follow_rarity, token_frequency
from omegaconf import OmegaConf
from scipy.stats import kendalltau
from tiny_material import P, tiny_material

from memunlearn.analyses.attention_heads import AttentionHeads
from memunlearn.analyses.heads_by_group import group_rows
from memunlearn.errors import UserError
from memunlearn.localization.attention_heads import HeadAttention
from memunlearn.statistics.two_groups import Comparison


def rare_material(family, strengths, **sizes):
    model = model_whose_heads_follow_rarity(family, strengths)
    return replace(tiny_material(model=model, **sizes), frequency=token_frequency())


def sets_of(material):
    return {"memorized": material.memorized, "non-memorized": material.non_memorized}


@pytest.mark.parametrize(
    ("family", "layer", "head"),
    [("gpt_neo", 0, 0), ("gpt_neo", 0, 2), ("gpt_neo", 0, 3), ("gpt2", 0, 1), ("gpt2", 1, 3)],
)
def test_the_head_that_attends_to_rare_tokens_is_named(family, layer, head):
    material = rare_material(family, {(layer, head): 6.0}, memorized=11, others=12)
    finding = AttentionHeads()(material)
    named = finding.numbers["rare_token_head"]
    assert (named["layer"], named["head"]) == (layer, head)
    for name in ("all", "memorized", "non-memorized"):
        own = finding.numbers["rare_token_head_of"][name]
        assert (own["layer"], own["head"]) == (layer, head)
        assert own["tau"]["value"] < -0.6 and own["tau"]["high"] < -0.4
    assert named["tau_within_positions"]["value"] < -0.6 and named["tau_within_positions"]["high"] < 0
    assert f"head {head} of layer {layer}" in finding.sentences[0] and "so it prefers rare tokens" in finding.sentences[0]
    heat = finding.charts[0].panels[0]
    assert heat.marked == [(layer, head)] and heat.diverging


def test_a_head_that_prefers_frequent_tokens_is_not():
    # All of layer 0 are set, so that the lowest of them is known: two prefer frequent tokens.
    material = rare_material("gpt_neo", {(0, 0): -6.0, (0, 1): -3.0, (0, 2): 4.0, (0, 3): -5.0}, memorized=5, others=8)
    finding = AttentionHeads()(material)
    assert (finding.numbers["rare_token_head"]["layer"], finding.numbers["rare_token_head"]["head"]) == (0, 2)
    against = [(one["layer"], one["head"]) for one in finding.numbers["anti_correlated_heads"]["all"]]
    assert (0, 2) in against
    assert ": anti-correlated with the others." in finding.sentences[1]
    assert "head 2 of layer 0, -" in finding.sentences[2] and "(95 % interval -" in finding.sentences[2]
    assert "not corrected for the number of heads" in finding.sentences[2]
    described = finding.numbers["rare_token_head"]["groups"]["all"]["correlation_with_others"]
    assert described["low"] < described["value"] < described["high"] < 0


def test_heads_that_agree_are_not_called_anti_correlated():
    material = rare_material("gpt_neo", dict.fromkeys([(0, 0), (0, 1), (0, 2), (0, 3)], 5.0), memorized=5, others=8)
    against = AttentionHeads()(material).numbers["anti_correlated_heads"]["all"]
    assert not [one for one in against if one["layer"] == 0]


def noise_heads(rows, layers, heads, places, seed=0):
    """Heads that have nothing to do with each other."""
    attention = torch.rand(rows, layers, heads, places, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    centred = attention - attention.mean(-1, keepdim=True)
    products = centred @ centred.transpose(2, 3)
    each = [[np.corrcoef(layer) for layer in row] for row in attention.numpy()]
    return HeadAttention(
        tau=torch.zeros(rows, layers, heads),
        entropy=torch.zeros(rows, layers, heads),
        rank_sums=torch.zeros(1, layers, heads, places),
        rank_counts=torch.zeros(1, layers, places),
        with_others=torch.from_numpy((np.array(each).sum(-1) - 1) / (heads - 1)),
        co_sums=products.sum(0, keepdim=True),
        visible=torch.full((layers,), places),
    )


def test_independent_heads_are_hardly_ever_called_anti_correlated():
    found = noise_heads(60, 8, 12, 40)
    within = {name: np.zeros((8, 12)) for name in ("all", "memorized")}
    group = group_rows(found, torch.zeros(60, dtype=torch.int64), np.arange(60), within, 0)["all"]
    assert (group.with_others.value < 0).mean() > 0.3  # which the sign alone would name
    assert len(group.contrary_heads) <= 0.1 * 8 * 12
    one_row = group_rows(found, torch.zeros(60, dtype=torch.int64), np.zeros(60), within, 0)["all"]
    assert one_row.contrary_heads == []  # one cluster: no interval


def plain(material, rows):
    """Attention [n, L, H, P] of the last prefix token, and frequencies [n, P]."""
    with torch.no_grad():
        layers = material.model(material.paragraphs.prefixes[rows], output_attentions=True).attentions
    attention = torch.stack([layer[:, :, -1].double() for layer in layers], 1).numpy()
    return attention, material.frequency[material.paragraphs.prefixes[rows]].numpy()


@pytest.mark.parametrize("family", ["gpt2", "llama"])
def test_tables_are_those_of_a_naive_version(family):
    material = tiny_material(family, memorized=4, others=6)
    finding = AttentionHeads()(material)
    table = {key: np.array(values) for key, values in finding.tables["attention_heads"].items()}
    for name, group in (("memorized", material.memorized), ("non-memorized", material.non_memorized)):
        attention, frequency = plain(material, group)
        for layer in range(tiny.LAYERS):
            for head in range(tiny.HEADS):
                at = (table["set"] == name) & (table["layer"] == layer) & (table["head"] == head)
                rows = [kendalltau(a, f).statistic for a, f in zip(attention[:, layer, head], frequency, strict=True)]
                assert table["tau"][at].item() == pytest.approx(np.nanmean(rows))
                columns = [kendalltau(attention[:, layer, head, p], frequency[:, p]).statistic for p in range(P)]
                assert table["tau_within_positions"][at].item() == pytest.approx(np.nanmean(columns))
                weights = attention[:, layer, head]
                assert table["entropy"][at].item() == pytest.approx(-(weights * np.log(weights)).sum(1).mean(), abs=1e-5)
    json.dumps([finding.numbers, finding.tables])
    assert AttentionHeads()(material) == finding


def test_curves_by_rank_are_those_of_the_table():
    material = rare_material("gpt_neo", {(0, 1): 6.0}, memorized=11, others=12)
    finding = AttentionHeads()(material)
    table = finding.tables["attention_heads_ranks"]
    chart = next(chart for chart in finding.charts if chart.name == "attention_heads_ranks")
    own = [series for series in chart.panels[0].series if "head 1" in series.label]
    assert [series.label.partition(",")[0] for series in own] == ["memorized", "non-memorized"]
    for series in own:
        places = zip(*(table[key] for key in ("set", "layer", "head", "rank", "attention")), strict=True)
        name = series.label.partition(",")[0]
        expected = [value for s, layer, head, _, value in places if (s, layer, head) == (name, 0, 1) and value is not None]
        assert series.y == pytest.approx(expected) and series.x == [rank + 1.0 for rank in range(len(expected))]
        assert series.y[0] > series.y[-1]  # rare tokens get more
        bands = [one for one in zip(series.low, series.y, series.high, strict=True) if one[0] is not None]
        assert bands and all(low <= y <= high for low, y, high in bands)  # few rows reach the last ranks


def test_layers_that_do_not_see_the_whole_prefix_are_named():
    finding = AttentionHeads()(tiny_material("gpt_neo"))
    assert finding.numbers["visible_positions"] == [P, 4]
    assert any(f"1 (4 of {P})" in note for note in finding.notes)


@pytest.mark.parametrize(("memorized", "others"), [(3, 0), (0, 3), (1, 0), (0, 1), (1, 1)])
def test_few_rows_and_missing_groups(memorized, others):
    finding = AttentionHeads()(tiny_material("gpt2", memorized=memorized, others=others))
    json.dumps([finding.numbers, finding.tables])
    if not (memorized and others):
        assert any("there is no comparison" in note for note in finding.notes)
        assert finding.numbers["rare_token_head"]["difference"]["value"] is None
    if memorized + others == 1:
        head = finding.numbers["rare_token_head"]["groups"]["all"]
        assert head["tau_within_positions"] is None and head["tau"]["low"] is None
        assert "too few clusters" in finding.sentences[0]


def test_equal_frequencies_have_no_correlation():
    material = tiny_material("gpt2")
    finding = AttentionHeads()(replace(material, frequency=torch.full_like(material.frequency, 4)))
    assert finding.numbers["rare_token_head"] is None and "equally frequent" in finding.sentences[0]
    assert any("9 rows had no correlation" in note for note in finding.notes)
    json.dumps([finding.numbers, finding.tables])


def test_rows_are_limited_with_the_seed():
    material = tiny_material("gpt2")
    finding = AttentionHeads(max_memorized=2, max_non_memorized=3, within_rows=2)(material)
    assert finding.numbers["rows"]["memorized"] == 2 and finding.numbers["rows"]["non-memorized"] == 3
    assert finding.numbers["within_rows"] == 4
    no_pairs = AttentionHeads(within_rows=0)(material)
    assert no_pairs.numbers["rare_token_head"]["groups"]["all"]["tau_within_positions"] is None


def test_rows_within_positions_are_drawn():
    material = tiny_material("gpt2", memorized=6, others=7)
    finding = AttentionHeads(within_rows=4)(material)
    table = {key: np.array(values) for key, values in finding.tables["attention_heads"].items()}
    drawn = {name: material.rows(group, 4) for name, group in sets_of(material).items()}
    for name, group in sets_of(material).items():
        assert drawn[name].tolist() != material.rows(group)[:4].tolist()
    drawn["all"] = torch.cat(list(drawn.values()))
    for name, rows in drawn.items():
        attention, frequency = plain(material, rows)
        at = (table["set"] == name) & (table["layer"] == 1) & (table["head"] == 2)
        columns = [kendalltau(attention[:, 1, 2, p], frequency[:, p]).statistic for p in range(P)]
        assert table["tau_within_positions"][at].item() == pytest.approx(np.nanmean(columns))
    assert "drawn with the seed" in finding.notes[1] and "neither set" in finding.notes[1]


def test_rows_in_neither_set_are_limited_with_the_seed():
    material = tiny_material("gpt2", memorized=3, others=8)
    material = replace(material, non_memorized=material.non_memorized & (torch.arange(11) < 5))
    assert AttentionHeads()(material).numbers["rows"] == {"all": 11, "memorized": 3, "non-memorized": 2}
    finding = AttentionHeads(max_neither=2)(material)
    assert finding.numbers["rows"] == {"all": 7, "memorized": 3, "non-memorized": 2}
    assert any("2 rows of 6 rows in neither set" in note for note in finding.notes)


def test_memory_does_not_grow_with_rows_times_ranks(monkeypatch):
    sizes, one_hot = [], torch.nn.functional.one_hot
    monkeypatch.setattr(torch.nn.functional, "one_hot", lambda x, *rest: sizes.append(len(x)) or one_hot(x, *rest))
    material = tiny_material("gpt2", memorized=5, others=6)
    AttentionHeads()(material)
    assert max(sizes) <= material.batch_size


def test_no_direction_is_claimed_where_interval_and_p_disagree(monkeypatch):
    module = importlib.import_module("memunlearn.analyses.attention_heads")
    monkeypatch.setattr(module, "mean_difference", lambda *_: Comparison(-0.2, -0.3, -0.1, 0.082))
    sentence = AttentionHeads()(tiny_material("gpt2")).sentences[3]
    assert "no clear difference between the sets (difference -0.2" in sentence and "p = 0.082" in sentence


def test_mistakes_are_named():
    with pytest.raises(UserError, match="analysis.attention_heads.max_neither=-1"):
        AttentionHeads(max_neither=-1)
    with pytest.raises(UserError, match="analysis.attention_heads.within_rows=-1"):
        AttentionHeads(within_rows=-1)
    with pytest.raises(UserError, match="no row"):
        AttentionHeads()(tiny_material(memorized=0, others=0))


def test_the_config_has_every_option():
    config = OmegaConf.load("conf/analysis/attention_heads.yaml")
    assert config.pop("_target_").endswith("attention_heads.AttentionHeads")
    assert AttentionHeads(**config) == AttentionHeads()
