"""A head that was made to attend to rare tokens is named, and no other; missing groups are said."""

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
from memunlearn.analyses.attention_heads_sentences import _between_sets
from memunlearn.analyses.frequency_of_heads import HeadTaus
from memunlearn.analyses.heads_by_group import group_rows
from memunlearn.analyses.in_words import TOO_FEW, linked
from memunlearn.errors import UserError
from memunlearn.localization.attention_heads import HeadAttention
from memunlearn.statistics.intervals import FEWEST_CLUSTERS
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
    assert named["tau"]["value"] < -0.6 and named["tau"]["p_value"] < 0.05
    for name in ("all", "memorized", "non-memorized"):
        own = finding.numbers["rare_token_head_of"][name]
        assert (own["layer"], own["head"]) == (layer, head)
        assert own["tau"]["value"] < -0.6 and own["tau"]["p_value"] < 0.05
    within = named["groups"]["all"]["tau_within_positions"]
    assert within["value"] < -0.6 and within["p_value"] < 0.05
    linked = finding.numbers["heads_linked_to_frequency"]["all"]
    assert {"layer": layer, "head": head} in [{"layer": one["layer"], "head": one["head"]} for one in linked]
    assert f"head {head} of layer {layer}" in finding.sentences[0] and "so it prefers rare tokens" in finding.sentences[0]
    heat = finding.charts[0].panels[0]
    assert heat.marked == [(layer, head)] and heat.diverging


def test_a_head_that_prefers_frequent_tokens_is_not():
    # All of layer 0 are set, so that the lowest of them is known: two prefer frequent tokens.
    material = rare_material("gpt_neo", {(0, 0): -6.0, (0, 1): -3.0, (0, 2): 4.0, (0, 3): -5.0}, memorized=12, others=16)
    finding = AttentionHeads()(material)
    assert (finding.numbers["rare_token_head"]["layer"], finding.numbers["rare_token_head"]["head"]) == (0, 2)
    against = [(one["layer"], one["head"]) for one in finding.numbers["anti_correlated_heads"]["all"]]
    assert (0, 2) in against
    assert ": anti-correlated with the others." in finding.sentences[1]
    assert "head 2 of layer 0, -" in finding.sentences[2] and "(95 % interval -" in finding.sentences[2]
    assert "not corrected for the number of heads" in finding.sentences[2]
    described = finding.numbers["rare_token_head"]["correlation_with_others"]
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
        attention=attention.float(),
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
    taus = dict.fromkeys(("all", "memorized"), HeadTaus(*np.zeros((4, 8, 12))))
    group = group_rows(found, torch.zeros(60, dtype=torch.int64), np.arange(60), taus, 0)["all"]
    assert (group.with_others.value < 0).mean() > 0.3  # which the sign alone would name
    assert len(group.contrary_heads) <= 0.1 * 8 * 12
    one_row = group_rows(found, torch.zeros(60, dtype=torch.int64), np.zeros(60), taus, 0)["all"]
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
                before = slice(P - 1)  # without the last token itself
                rows = [
                    kendalltau(a[before], f[before]).statistic
                    for a, f in zip(attention[:, layer, head], frequency, strict=True)
                ]
                assert table["tau"][at].item() == pytest.approx(np.nanmean(rows), abs=1e-6)
                columns = [kendalltau(attention[:, layer, head, p], frequency[:, p]).statistic for p in range(P - 1)]
                assert table["tau_within_positions"][at].item() == pytest.approx(np.nanmean(columns), abs=1e-6)
                assert 0 < table["tau_p"][at].item() <= 1 and 0 < table["tau_within_positions_p"][at].item() <= 1
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
        assert series.low is None and series.high is None  # rows drawn anew say nothing about other frequencies


def test_layers_that_do_not_see_the_whole_prefix_are_named():
    finding = AttentionHeads()(tiny_material("gpt_neo"))
    assert finding.numbers["visible_positions"] == [P, 4]
    assert any(f"1 (4 of {P})" in note for note in finding.notes)


def test_what_stands_before_the_text_is_seen_by_every_layer():
    """BOS is no token of the text, but no layer is blind for leaving it out."""
    material = tiny_material("gpt2")
    ids = torch.cat([torch.zeros(len(material.paragraphs), 1, dtype=torch.int64), material.paragraphs.ids], 1)
    paragraphs = replace(material.paragraphs, ids=ids, prefix_length=P + 1, text_start=1)
    finding = AttentionHeads()(replace(material, paragraphs=paragraphs))
    assert finding.numbers["visible_positions"] == [P + 1] * tiny.LAYERS
    assert not any("cannot see" in note for note in finding.notes)


@pytest.mark.parametrize(("memorized", "others"), [(3, 0), (0, 3), (1, 0), (0, 1), (1, 1)])
def test_few_rows_and_missing_groups(memorized, others):
    finding = AttentionHeads()(tiny_material("gpt2", memorized=memorized, others=others))
    json.dumps([finding.numbers, finding.tables])
    if not (memorized and others):
        assert any("there is no comparison" in note for note in finding.notes)
        assert finding.numbers["rare_token_head"]["difference"]["value"] is None
    if memorized + others == 1:
        head = finding.numbers["rare_token_head"]
        assert head["groups"]["all"]["tau_within_positions"] == {"value": None, "p_value": None}
        assert head["tau"] == {"value": None, "p_value": None} and head["tested_on"] == {"rows": 0, "clusters": 0}
        assert "nothing to compare" in finding.sentences[0]
    assert "prefers" not in finding.sentences[0]


def test_too_few_clusters_claim_no_preference():
    """A head that follows rarity without exception, in nine clusters."""
    finding = AttentionHeads()(rare_material("gpt2", {(0, 1): 6.0}, memorized=5, others=4))
    named = finding.numbers["rare_token_head"]
    assert (named["layer"], named["head"]) == (0, 1) and named["groups"]["all"]["tau"]["p_value"] < 0.05
    assert finding.sentences[0].count(TOO_FEW) == 2 and "prefers" not in finding.sentences[0]
    assert f"fewer than {FEWEST_CLUSTERS}" in TOO_FEW
    for group in named["groups"].values():
        assert group["correlation_with_others"]["low"] is None and group["entropy"]["low"] is None
    assert not any(finding.numbers["anti_correlated_heads"].values()) and TOO_FEW in finding.sentences[1]
    assert named["difference"]["p_value_over_clusters"] is None and TOO_FEW in finding.sentences[3]


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
    assert no_pairs.numbers["rare_token_head"]["groups"]["all"]["tau_within_positions"]["value"] is None


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
        columns = [kendalltau(attention[:, 1, 2, p], frequency[:, p]).statistic for p in range(P - 1)]
        assert table["tau_within_positions"][at].item() == pytest.approx(np.nanmean(columns), abs=1e-6)
    assert "drawn with the seed" in finding.notes[2] and "neither set" in finding.notes[2]


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


@pytest.mark.parametrize(
    ("over_clusters", "over_types", "claimed"),
    [
        (Comparison(-0.2, -0.3, -0.1, 0.01), 0.01, "it prefers rare tokens more in memorized text"),
        (Comparison(-0.2, -0.3, -0.1, 0.01), 0.2, "no clear difference between the sets"),
        (Comparison(-0.2, -0.3, -0.1, 0.082), 0.01, "no clear difference between the sets"),
        (Comparison(-0.2, None, None, None), 0.01, TOO_FEW),
    ],
)
def test_a_difference_between_sets_needs_clusters_and_token_types(over_clusters, over_types, claimed):
    named = {
        "tau_in_sets": {"memorized": -0.5, "non-memorized": -0.3},
        "difference": {"value": -0.2, "p_value_over_clusters": over_clusters.p_value, "p_value_over_types": over_types},
    }
    assert claimed in _between_sets(named, over_clusters)


@pytest.mark.parametrize(
    ("p", "corrected", "clusters", "claimed"),
    [
        (0.01, 0.01, 30, "so it prefers rare tokens"),
        (0.01, 0.06, 30, "no preference"),
        (0.06, 0.01, 30, "no preference"),
        (0.01, 0.01, FEWEST_CLUSTERS - 1, TOO_FEW),
        (None, 0.01, 30, TOO_FEW),
    ],
)
def test_a_head_is_claimed_where_the_other_half_and_the_correction_agree(p, corrected, clusters, claimed):
    assert claimed in linked(-0.3, (p, corrected), clusters, "prefers frequent", "so it prefers rare tokens", "no preference")
    assert linked(0.3, (0.01, 0.01), 30, "prefers frequent", "so it prefers rare tokens", "no preference") == "prefers frequent"


def test_near_duplicates_count_once():
    """Rows written 49 times change no mean and no p-value."""
    material = rare_material("gpt2", {(0, 1): 6.0}, memorized=5, others=8)
    rows = torch.cat([torch.arange(13), torch.zeros(48, dtype=torch.int64)])
    repeated = replace(
        material,
        paragraphs=material.paragraphs.select(rows),
        scores=material.scores.select(rows),
        clusters=material.clusters[rows],
        bins=[material.bins[row] for row in rows],
        memorized=material.memorized[rows],
        non_memorized=material.non_memorized[rows],
    )
    once, often = (AttentionHeads()(one) for one in (material, repeated))
    assert often.numbers["rows"]["all"] == 61 and often.numbers["clusters"] == once.numbers["clusters"] == 13
    for key in ("tau", "tau_p", "tau_within_positions", "tau_within_positions_p", "entropy", "correlation_with_others"):
        assert often.tables["attention_heads"][key] == pytest.approx(once.tables["attention_heads"][key], abs=1e-5), key
    ranks = [[np.nan if v is None else v for v in one.tables["attention_heads_ranks"]["attention"]] for one in (often, once)]
    np.testing.assert_allclose(*ranks, atol=1e-6)


def test_mistakes_are_named():
    with pytest.raises(UserError, match="analysis.attention_heads.max_neither=-1"):
        AttentionHeads(max_neither=-1)
    with pytest.raises(UserError, match="analysis.attention_heads.within_rows=-1"):
        AttentionHeads(within_rows=-1)
    with pytest.raises(UserError, match="analysis.attention_heads.permutations=0"):
        AttentionHeads(permutations=0)
    with pytest.raises(UserError, match="no row"):
        AttentionHeads()(tiny_material(memorized=0, others=0))


def test_the_config_has_every_option():
    config = OmegaConf.load("conf/analysis/attention_heads.yaml")
    assert config.pop("_target_").endswith("attention_heads.AttentionHeads")
    assert AttentionHeads(**config) == AttentionHeads()
