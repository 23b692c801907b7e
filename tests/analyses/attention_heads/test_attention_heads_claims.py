"""A head that was made to attend to rare tokens is named, and no other; missing groups are said."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from hand_set_heads import model_whose_heads_follow_rarity, token_frequency
from tiny_material import tiny_material

from memunlearn.analyses.attention_heads import AttentionHeads
from memunlearn.analyses.attention_heads.compare import group_rows
from memunlearn.analyses.attention_heads.measure import Measured
from memunlearn.analyses.attention_heads.tell import between_sets
from memunlearn.analyses.claims import TOO_FEW, linked
from memunlearn.localization.attention_heads import DIMS
from memunlearn.localization.frequency_of_heads import HeadLinks, HeadTaus
from memunlearn.localization.labelled import Labelled
from memunlearn.paragraphs.clusters import cluster_shares
from memunlearn.statistics.intervals import FEWEST_CLUSTERS
from memunlearn.statistics.two_groups import Comparison

WORDS = ("prefers frequent", "so it prefers rare tokens", "no preference")


def rare_material(family, strengths, **sizes):
    model = model_whose_heads_follow_rarity(family, strengths)
    return replace(tiny_material(model=model, **sizes), frequency=token_frequency())


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


def noise_heads(rows, layers, heads, places, clusters):
    """Memorized rows whose heads have nothing to do with each other."""
    attention = torch.rand(rows, layers, heads, places, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    centred = attention - attention.mean(-1, keepdim=True)
    products = centred @ centred.transpose(2, 3)
    each = [[np.corrcoef(layer) for layer in row] for row in attention.numpy()]
    lengths = {"row": rows, "set": 1, "layer": layers, "head": heads, "other_head": heads, "position": places, "rank": places}
    values = {name: torch.zeros(*(lengths[dim] for dim in dims), dtype=dtype) for name, (dims, dtype) in DIMS.items()}
    values |= {
        "attention": attention.float(),
        "with_others": torch.from_numpy((np.array(each).sum(-1) - 1) / (heads - 1)),
        "co_sums": products.sum(0, keepdim=True),
        "visible": torch.full((layers,), places),
    }
    labels = {dim: range(length) for dim, length in lengths.items()}
    found = Labelled(labels, {name: (DIMS[name][0], numbers) for name, numbers in values.items()})
    taus = dict.fromkeys(("all", "memorized"), HeadTaus(*np.zeros((4, layers, heads))))
    sets, frequency = np.zeros(rows, dtype=int), torch.zeros(rows, places)
    return Measured(
        attention=found,
        links=HeadLinks(taus, None, 9),
        sets=sets,
        clusters=clusters,
        shares=cluster_shares(clusters, sets),
        frequency=frequency,
        within=0,
    )


def test_independent_heads_are_hardly_ever_called_anti_correlated():
    group = group_rows(noise_heads(60, 8, 12, 40, np.arange(60)), 0)["all"]
    assert (group.with_others.value < 0).mean() > 0.3  # which the sign alone would name
    assert len(group.contrary_heads) <= 0.1 * 8 * 12
    one_cluster = group_rows(noise_heads(60, 8, 12, 40, np.zeros(60, dtype=int)), 0)["all"]
    assert one_cluster.contrary_heads == []  # no interval


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
    assert claimed in between_sets(named, over_clusters)


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
    assert claimed in linked(-0.3, (p, corrected), *WORDS, clusters=clusters)
    assert linked(0.3, (0.01, 0.01), *WORDS, clusters=30) == "prefers frequent"
