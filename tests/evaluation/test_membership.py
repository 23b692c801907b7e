"""AUROC by pair counting, privleak by hand, and which figures are called what."""

import numpy as np
import pytest
import torch

from memunlearn.evaluation.membership import Members, membership, privleak


def members(seed=0, forgotten=20, others=30, shift=False):
    """Random texts, all alike; with shift the forgotten ones have tokens of their own."""
    random = np.random.default_rng(seed)
    first = torch.arange(forgotten + others) < forgotten
    ids = torch.tensor(random.integers(0, 50, (len(first), 16)))
    if shift:
        ids[first] += 25
    clusters = torch.arange(len(first)) // 2 * 2  # pairs, none of both groups
    return Members(ids=ids, forgotten=first, clusters=clusters, left_out=3)


def values(seed, n=50, **keys):
    random = np.random.default_rng(seed)
    return {key: torch.tensor(random.normal(at, 1, n).round(1), dtype=torch.float32) for key, at in keys.items()}


def pairs(scores, first):
    """The share of pairs in which the forgotten row scores higher, a tie counting half."""
    return np.mean([(a > b) + 0.5 * (a == b) for a in scores[first].tolist() for b in scores[~first].tolist()])


def test_auroc_of_every_score_and_model_is_that_of_all_pairs():
    given = members()
    of = {"base": values(1, nll=0, min_k=0), "unlearned": values(2, nll=2, min_k=1), "oracle": values(3, nll=2, min_k=1)}
    of["second_oracle"] = values(4, nll=2)
    found = membership(given, of)["scores"]
    assert set(found) == {"nll", "min_k", "reference"}
    for name in ("base", "unlearned", "oracle"):
        assert found["nll"][name]["auroc"] == pytest.approx(pairs(-of[name]["nll"], given.forgotten))
        assert found["min_k"][name]["auroc"] == pytest.approx(pairs(of[name]["min_k"], given.forgotten))
        low, high = found["nll"][name]["auroc_ci"]
        assert 0 < low < found["nll"][name]["auroc"] < high < 1
    assert "second_oracle" not in found["nll"]


def test_the_reference_is_the_oracle_and_for_itself_the_other_one():
    given = members()
    of = {name: values(seed, nll=1) for seed, name in enumerate(("base", "unlearned", "oracle", "second_oracle"))}
    found = membership(given, of)["scores"]["reference"]
    against = {"base": "oracle", "unlearned": "oracle", "oracle": "second_oracle"}
    for name, reference in against.items():
        scores = of[reference]["nll"].double() - of[name]["nll"].double()
        assert found[name]["auroc"] == pytest.approx(pairs(scores, given.forgotten))
    del of["second_oracle"]
    alone = membership(given, of)["scores"]["reference"]
    assert "oracle" not in alone and "second oracle" in alone["oracle_note"] and alone["privleak"] is None
    del of["oracle"]
    without = membership(given, of)["scores"]
    assert list(without) == ["nll"] and without["nll"]["privleak"] is None
    assert without["nll"]["privleak_note"] == "there is no oracle's AUROC"


def test_privleak_by_hand():
    assert privleak(0.8, 0.6)[0] == pytest.approx(-50)  # (.2 - .4) / .4
    assert privleak(0.4, 0.6)[0] == pytest.approx(50)  # over-unlearned
    assert privleak(0.6, 0.6) == (0, None)
    leak, why = privleak(0.6, 0.96)
    assert leak is None and "0.960" in why
    assert privleak(0.6, 0.949)[0] is not None
    assert privleak(None, 0.5)[0] is None and privleak(0.5, None)[0] is None


@pytest.mark.parametrize("shift", [False, True])
def test_groups_that_their_text_tells_apart_show_distribution_shift(shift):
    found = membership(members(shift=shift), {"base": values(1, nll=0)})
    assert found["distribution_shift"] is shift
    assert found["figure"] == ("distribution shift" if shift else "membership")
    assert (found["text_classifier"]["auroc"] > 0.8) is shift
    assert any("distribution shift" in note for note in found["notes"]) is shift


def test_sizes_clusters_duplicates_and_what_was_left_out_are_said():
    given = members()
    given.ids[1] = given.ids[0]
    given.ids[2] = given.ids[0]
    found = membership(given, {"base": values(1, nll=0)})
    assert found["forgotten"] == {"n": 20, "clusters": 10, "duplicates": 2}
    assert found["never_seen"] == {"n": 30, "clusters": 15, "duplicates": 0}
    assert found["left_out"] == 3 and any("3 never-seen rows left out" in note for note in found["notes"])


def test_few_clusters_have_no_interval_and_it_is_not_known_whether_the_text_tells():
    found = membership(members(forgotten=8), {"base": values(1, n=38, nll=0)})
    assert found["scores"]["nll"]["base"]["auroc_ci"] is None and found["distribution_shift"] is None
    assert any("4 clusters, and an interval needs 10" in note for note in found["notes"])


def test_a_score_that_is_no_number_counts_as_the_least_likely_member():
    given, of = members(), values(1, nll=0)
    of["nll"][[0, 30]] = torch.nan
    filled = of["nll"].clone()
    filled[[0, 30]] = 1e6
    found = [membership(given, {"base": {"nll": nll}})["scores"]["nll"]["base"] for nll in (of["nll"], filled)]
    assert found[0] == found[1]
