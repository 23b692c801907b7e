"""The scatter shows every row in its bin; AUROC is scipy's; a missing group is said, not a crash."""

import json
from dataclasses import replace

import pytest
import torch
from scipy.stats import mannwhitneyu
from tiny_material import C, P, tiny_material

from memunlearn.analyses.claims import TOO_FEW
from memunlearn.analyses.em_nll import EMNLL
from memunlearn.charts.description import BIN_COLOURS, MEMORIZED, NON_MEMORIZED
from memunlearn.errors import UserError


def test_numbers_and_table_are_those_of_the_scores():
    material = tiny_material(memorized=11, others=12)
    finding = EMNLL()(material)
    nll = material.scores.nll.double()
    first, second = nll[material.memorized].numpy(), nll[material.non_memorized].numpy()
    by_scipy = mannwhitneyu(-first, -second).statistic / (len(first) * len(second))
    assert finding.numbers["auroc"]["value"] == pytest.approx(by_scipy)
    table = finding.tables["em_nll"]
    assert table["em"] == material.scores.em.tolist() and table["nll"] == pytest.approx(nll.tolist())
    assert table["longest_run"] == material.scores.longest_run.tolist()
    assert table["bin"] == list(material.bins) and table["origin"][3] == "tiny:3"
    top = finding.numbers["bins"][str(C)]
    assert top["em"]["value"] == C and top["n"] == 11 and top["nll"]["value"] == pytest.approx(first.mean(), rel=1e-5)
    assert top["nll"]["low"] <= top["nll"]["value"] <= top["nll"]["high"] and top["em"]["low"] is None  # all recited whole
    assert 0 <= finding.numbers["auroc"]["low"] < by_scipy <= finding.numbers["auroc"]["high"] <= 1
    assert sum(found["n"] for found in finding.numbers["bins"].values()) == 23
    json.dumps([finding.numbers, finding.tables])


def test_the_figures_use_the_colours_of_bins():
    finding = EMNLL()(tiny_material(memorized=4, others=12))
    scatter = finding.charts[0].panels[0]
    assert scatter.series[0].colour == NON_MEMORIZED == BIN_COLOURS[0] and scatter.series[-1].colour == MEMORIZED
    assert sum(len(series.x) for series in scatter.series) == 16
    roc = finding.charts[1].panels[0].series[0]
    assert (roc.x[0], roc.y[0], roc.x[-1], roc.y[-1]) == (0, 0, 1, 1)


def test_it_says_whose_text_the_continuations_are():
    material = tiny_material()
    assert "own text, as they were given; 4 of 9 rows are recited whole" in EMNLL()(material).sentences[-1]
    assert "model's own output" in EMNLL()(replace(material, self_generated=True)).sentences[-1]


def test_the_verdict_follows_the_numbers():
    material = tiny_material(memorized=10, others=12)
    ranks = torch.arange(22.0)

    def sentence(nll):
        em = torch.full((22,), C - 1)  # groups that EM has not made: what NLL says of them is a finding
        scores = replace(material.scores, values={**material.scores.values, "em": em, "nll": nll + 0.5})
        flat = replace(material, scores=scores, non_memorized=~material.memorized)
        return EMNLL()(flat).sentences[0]

    assert "100 % of pairs" in sentence(ranks) and sentence(ranks).endswith("NLL tells them apart.")
    assert sentence(-ranks + 22).endswith("it is the higher one.")
    assert sentence(7 * ranks % 22).endswith("no better than chance.")


def test_groups_that_em_has_made_differ_in_nll_by_definition():
    """EM = C says that every token is the most likely one; of the prefix it says nothing, so that is what is judged."""
    material = tiny_material(memorized=12, others=14)
    finding = EMNLL()(material)
    assert finding.numbers["auroc_by_definition"] and finding.numbers["auroc"]["value"] > 0.9
    assert "no finding" in finding.sentences[0] and "by definition" in finding.sentences[0]
    assert "tells them apart" not in finding.sentences[0] and "interval" not in finding.sentences[0]
    found = finding.numbers["prefix_auroc"]
    assert found["low"] < 0.5 < found["high"]  # random tokens, whatever is said after them
    assert "no better than chance" in finding.sentences[1] and "The prefix" in finding.sentences[1]
    given = replace(material, memorized=material.non_memorized, non_memorized=material.memorized)  # sets by name
    assert not EMNLL()(given).numbers["auroc_by_definition"] and "it is the higher one" in EMNLL()(given).sentences[0]


def test_prefixes_are_compared_by_the_nll_of_all_their_tokens_but_the_first():
    material = tiny_material(memorized=5, others=6)
    logits = material.model(material.paragraphs.prefixes[:, :-1]).logits.detach().log_softmax(-1)
    nll = torch.tensor(
        [-sum(float(logits[row, i - 1, material.paragraphs.ids[row, i]]) for i in range(1, P)) for row in range(11)]
    )
    first, second = nll[material.memorized].numpy(), nll[material.non_memorized].numpy()
    expected = mannwhitneyu(-first, -second).statistic / (len(first) * len(second))
    assert EMNLL()(material).numbers["prefix_auroc"]["value"] == pytest.approx(expected)
    ids, length = material.paragraphs.ids[:, P - 1 :], 1
    short = replace(material, paragraphs=replace(material.paragraphs, ids=ids, prefix_length=length))
    assert EMNLL()(short).numbers["prefix_auroc"]["value"] is None  # one prefix token: nothing is predicted there


@pytest.mark.parametrize(("memorized", "others"), [(3, 0), (0, 4), (1, 0), (1, 1), (1, 6)])
def test_few_rows_and_missing_groups_are_said(memorized, others):
    finding = EMNLL()(tiny_material(memorized=memorized, others=others))
    if memorized and others:
        assert finding.numbers["auroc"]["value"] is not None and "chance is not ruled out" in finding.sentences[1]
    else:
        assert finding.numbers["auroc"]["value"] is None and finding.notes and len(finding.charts) == 1
    json.dumps(finding.numbers)


def test_nine_clusters_of_a_group_tell_nothing_apart():
    material = tiny_material(memorized=9, others=12)
    given = replace(material, memorized=material.non_memorized, non_memorized=material.memorized)  # sets by name
    finding = EMNLL()(given)
    assert finding.numbers["auroc"]["value"] < 0.2
    for area, sentence in zip(("auroc", "prefix_auroc"), finding.sentences, strict=False):
        assert finding.numbers[area]["low"] is None and finding.numbers[area]["high"] is None
        assert TOO_FEW in sentence and "apart" not in sentence and "it is the higher one" not in sentence
    assert finding.numbers["bins"][str(C)]["nll"]["low"] is None


def test_no_paragraph_is_a_clear_error():
    material = tiny_material()
    none = torch.empty(0, dtype=torch.int64)
    empty = replace(
        material,
        paragraphs=material.paragraphs.select(none),
        scores=material.scores.select(none),
        clusters=none,
        bins=[],
        memorized=none.bool(),
        non_memorized=none.bool(),
    )
    with pytest.raises(UserError, match="no paragraph"):
        EMNLL()(empty)


def test_bins_of_the_source_are_in_order_of_em():
    material = tiny_material(memorized=4, others=5)
    finding = EMNLL()(replace(material, bins=["z recited"] * 4 + ["a other"] * 5))
    assert list(finding.numbers["bins"]) == ["a other", "z recited"]
    assert [series.colour for series in finding.charts[0].panels[0].series] == [NON_MEMORIZED, MEMORIZED]
