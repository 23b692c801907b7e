"""The tables are those of a naive version; rows are limited with the seed; missing groups are said."""

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
from memunlearn.errors import UserError


def rare_material(family, strengths, **sizes):
    model = model_whose_heads_follow_rarity(family, strengths)
    return replace(tiny_material(model=model, **sizes), frequency=token_frequency())


def sets_of(material):
    return {"memorized": material.memorized, "non-memorized": material.non_memorized}


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
