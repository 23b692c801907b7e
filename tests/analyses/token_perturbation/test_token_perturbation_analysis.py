"""The tables are the scores of perturbed rows, the means are theirs, and what cannot be compared is said."""

import json

import naive_scoring as naive
import numpy as np
import pytest
from omegaconf import OmegaConf
from scipy.stats import kendalltau
from tiny_material import C, P, tiny_material

from memunlearn.analyses.claims import TOO_FEW
from memunlearn.analyses.token_perturbation import TokenPerturbation
from memunlearn.errors import UserError
from memunlearn.paragraphs.paragraph_set import ParagraphSet
from memunlearn.scoring.greedy import greedy_continuations
from memunlearn.scoring.score import score


@pytest.fixture(scope="module")
def material():
    return tiny_material("gpt_neo", memorized=11, others=12)


@pytest.fixture(scope="module")
def finding(material):
    return TokenPerturbation(replacements=2)(material)


def test_every_drop_is_that_of_explicitly_perturbed_ids(material, finding):
    table = finding.tables["token_perturbation"]
    assert len(table["row"]) == 23 * P and set(map(len, table.values())) == {23 * P}
    for place in range(0, 23 * P, 3):
        row, position = table["row"][place], table["position"][place]
        ids = material.paragraphs.ids[row : row + 1].clone()
        if table["set"][place] == "non-memorized":
            ids[:, P:] = greedy_continuations(material.model, ids[:, :P], C)  # self-EM
        assert table["token"][place] == ids[0, position]
        assert table["frequency"][place] == material.frequency[ids[0, position]]
        drops, rises = [], []
        before = score(material.model, ParagraphSet(ids, P, ("row",)))
        assert int(before.em) == C
        for kind in ("random_1", "random_2", "second_likely"):
            if table[f"{kind}_token"][place] is None:
                assert kind == "second_likely" and position == 0
                continue
            perturbed = ids.clone()
            perturbed[0, position] = table[f"{kind}_token"][place]
            after = score(material.model, ParagraphSet(perturbed, P, ("row",)))
            drops.append(C - int(after.em))
            rises.append(float(after.nll - before.nll))
            assert table[f"{kind}_em_drop"][place] == drops[-1]
        assert table["em_drop"][place] == pytest.approx(np.mean(drops))
        assert table["nll_rise"][place] == pytest.approx(np.mean(rises), abs=1e-4)


def test_means_and_difference_are_those_of_the_table(finding):
    table = {name: np.array(column) for name, column in finding.tables["token_perturbation"].items()}
    by_set = {}
    for name, found in finding.numbers["sets"].items():
        member = table["set"] == name
        by_set[name] = table["em_drop"][member].astype(float).mean()
        assert found["em_drop"]["value"] == pytest.approx(by_set[name])
        assert found["nll_rise"]["value"] == pytest.approx(table["nll_rise"][member].astype(float).mean())
        rows = np.unique(table["row"][member])
        taus = [kendalltau(*(table[key][table["row"] == r] for key in ("em_drop", "frequency"))).statistic for r in rows]
        assert found["tau_frequency"]["value"] == pytest.approx(np.nanmean(taus), abs=1e-6)
        assert 0 < found["tau_frequency"]["p_value"] <= 1
        positions = finding.tables["token_perturbation_positions"]
        for position in range(P):
            place = positions["set"].index(name) + position
            at = member & (table["position"] == position)
            assert positions["em_drop"][place] == pytest.approx(table["em_drop"][at].astype(float).mean())
    difference = finding.numbers["difference"]["em_drop"]
    assert difference["value"] == pytest.approx(by_set["memorized"] - by_set["non-memorized"])
    assert difference["low"] <= difference["value"] <= difference["high"] and 0 < difference["p_value"] <= 1


def test_the_worst_replacement_and_its_alternative(material, finding):
    rows, table = finding.tables["token_perturbation_rows"], finding.tables["token_perturbation"]
    for place, row in enumerate(rows["row"]):
        at = [i for i, one in enumerate(table["row"]) if one == row]
        drops = [table[f"{kind}_em_drop"][i] for kind in ("random_1", "random_2", "second_likely") for i in at]
        worst = max(drop for drop in drops if drop is not None)
        assert rows["em_before"][place] - rows["worst_em"][place] == worst
        prefix = material.paragraphs.ids[row : row + 1, :P].clone()
        assert rows["replaced"][place] == str(int(prefix[0, rows["worst_position"][place]]))
        if rows["alternative"][place] is None:
            assert rows["alternative_position"][place] is None and rows["alternative_replaced_by"][place] is None
            continue
        prefix[0, rows["alternative_position"][place]] = int(rows["alternative_replaced_by"][place])
        said = greedy_continuations(material.model, prefix, C)[0].tolist()
        assert rows["alternative"][place] == " ".join(map(str, said))
        continuation = list(map(int, rows["continuation"][place].split()))
        assert naive.common_run(said, continuation) <= C / 5
    without = rows["alternative"].count(None)
    assert without < len(rows["row"])
    assert any(f"{without} row" in note and "no alternative" in note for note in finding.notes) == bool(without)


def test_it_is_json_reproducible_and_its_figures_are_complete(material, finding):
    json.dumps([finding.numbers, finding.tables])
    assert TokenPerturbation(replacements=2)(material) == finding
    assert {chart.name for chart in finding.charts} >= {"token_perturbation_by_position", "token_perturbation_rows"}
    lines = finding.charts[0].panels[0].series
    assert [len(series.x) for series in lines] == [P, P] and all(series.low for series in lines)


def test_position_0_has_no_second_likely_token(material):
    finding = TokenPerturbation(replacements=0)(material)
    table = finding.tables["token_perturbation"]
    assert all((drop is None) == (position == 0) for drop, position in zip(table["em_drop"], table["position"], strict=True))
    assert finding.charts[0].panels[0].series[0].y[0] is None and any("not predicted" in note for note in finding.notes)


def test_rows_are_limited_with_the_seed(material):
    finding = TokenPerturbation(second_likely=False, max_memorized=1, max_non_memorized=2)(material)
    assert [finding.numbers["sets"][name]["rows"] for name in ("memorized", "non-memorized")] == [1, 2]
    assert any("2 rows of" in note for note in finding.notes)
    json.dumps(finding.numbers)


def test_nine_clusters_of_a_group_give_no_interval_and_no_direction(material):
    finding = TokenPerturbation(second_likely=False, max_memorized=9)(material)
    difference = finding.numbers["difference"]["em_drop"]
    assert difference["value"] is not None and difference["low"] is difference["high"] is difference["p_value"] is None
    assert TOO_FEW in finding.sentences[0] and "to corrupt" not in finding.sentences[0]
    memorized = next(sentence for sentence in finding.sentences if sentence.startswith("In memorized rows"))
    assert memorized.endswith(f"{TOO_FEW}.") and "corrupts more" not in memorized
    assert finding.numbers["sets"]["memorized"]["em_drop"]["low"] is None
    assert finding.numbers["sets"]["non-memorized"]["em_drop"]["low"] is not None
    assert "There is no interval for memorized rows: 9 clusters, and an interval needs 10." in finding.notes
    assert not any("no interval for non-memorized" in note for note in finding.notes)


@pytest.mark.parametrize(("memorized", "others", "missing"), [(3, 0, "non-memorized"), (0, 3, "memorized"), (1, 0, "non")])
def test_a_missing_group_is_said(memorized, others, missing):
    finding = TokenPerturbation()(tiny_material("gpt2", memorized=memorized, others=others))
    assert any(f"No {missing}" in note for note in finding.notes)
    assert finding.numbers["difference"]["em_drop"]["value"] is None
    json.dumps([finding.numbers, finding.tables])


def test_the_verdict_follows_the_interval():
    from memunlearn.analyses.claims import direction
    from memunlearn.statistics.two_groups import NOTHING, Comparison

    assert direction(Comparison(2.0, 1.0, 3.0), "above", "below") == "above"
    assert direction(Comparison(-2.0, -3.0, -1.0), "above", "below") == "below"
    assert direction(Comparison(0.1, -1.0, 1.0), "above", "below") == "no clear difference"
    for sign in (1, -1):  # the interval excludes 0
        low, high = sorted((sign, 3 * sign))
        assert direction(Comparison(2 * sign, low, high, 0.082), "above", "below") == "no clear difference"
        assert direction(Comparison(2 * sign, low, high, 0.04), "above", "below") == ("above" if sign > 0 else "below")
    assert direction(Comparison(0.1, -1.0, 1.0, 0.01), "above", "below") == "no clear difference"
    assert TOO_FEW == direction(Comparison(5.0, None, None), "above", "below")
    assert "nothing to compare" in direction(NOTHING, "above", "below")


@pytest.mark.parametrize("value", [None, float("nan"), float("inf"), -float("inf")])
def test_a_number_that_is_not_finite_is_unknown(value):
    from memunlearn.words import number

    assert number(value) == "unknown"


def test_rows_within_positions_are_limited_with_the_seed(material):
    whole, few = TokenPerturbation()(material), TokenPerturbation(within_rows=3)(material)
    assert [whole.numbers["sets"][name]["within_rows"] for name in ("memorized", "non-memorized")] == [11, 12]
    table = {key: np.array(column) for key, column in few.tables["token_perturbation"].items()}
    for name, group in (("memorized", material.memorized), ("non-memorized", material.non_memorized)):
        drawn = material.rows(group, 3).tolist()
        assert few.numbers["sets"][name]["within_rows"] == 3 and drawn != material.rows(group)[:3].tolist()
        at = np.isin(table["row"], drawn) & (table["set"] == name)
        drops, frequency = (table[key][at].astype(float).reshape(3, P) for key in ("em_drop", "frequency"))
        taus = [kendalltau(drops[:, p], frequency[:, p]).statistic for p in range(P)]
        assert few.numbers["sets"][name]["tau_frequency_within_positions"]["value"] == pytest.approx(np.nanmean(taus), abs=1e-6)
        assert any(f"Within positions 3 of {int(group.sum())} {name} rows, drawn" in note for note in few.notes)
    assert not any("Within positions" in note for note in whole.notes)
    nobody = TokenPerturbation(within_rows=0)(material)
    assert nobody.numbers["sets"]["memorized"]["tau_frequency_within_positions"]["value"] is None


def test_mistakes_are_named():
    with pytest.raises(UserError, match="analysis.token_perturbation.within_rows=-1"):
        TokenPerturbation(within_rows=-1)
    with pytest.raises(UserError, match="analysis.token_perturbation.replacements=-1"):
        TokenPerturbation(replacements=-1)
    with pytest.raises(UserError, match="analysis.token_perturbation.permutations=0"):
        TokenPerturbation(permutations=0)
    with pytest.raises(UserError, match="nothing to replace"):
        TokenPerturbation(replacements=0, second_likely=False)
    with pytest.raises(UserError, match="max_memorized=-2"):
        TokenPerturbation(max_memorized=-2)
    nobody = tiny_material(memorized=0, others=0)
    with pytest.raises(UserError, match="no memorized and no non-memorized row"):
        TokenPerturbation()(nobody)


def test_ids_become_text_where_there_is_a_tokenizer(material):
    from dataclasses import replace

    class Letters:
        def get_vocab(self):
            return {chr(ord("A") + token): token for token in range(61)}

        def decode(self, ids):
            return "".join(chr(ord("A") + token) for token in ids)

    finding = TokenPerturbation(max_memorized=1, max_non_memorized=0)(replace(material, tokenizer=Letters()))
    assert finding.tables["token_perturbation_rows"]["continuation"][0] == Letters().decode(
        material.paragraphs.continuations[finding.tables["token_perturbation_rows"]["row"][0]].tolist()
    )


def test_the_config_has_every_option():
    config = OmegaConf.load("conf/analysis/token_perturbation.yaml")
    assert config.pop("_target_").endswith("token_perturbation.TokenPerturbation")
    assert TokenPerturbation(**config) == TokenPerturbation()
