"""The numbers of a set's entry as tables show them."""

import math

import fake_results
import pytest

from memunlearn.results.tables import (
    change_text,
    in_part,
    interval_text,
    is_known,
    rows_and_clusters,
    set_names,
    value_text,
)
from memunlearn.scoring.metrics import EM, KL, LONGEST_COMMON_RUN, MEMORIZED, NLL

STATS = {"n": 64, "clusters": 61, "em": 3.14159, "em_ci": [2.75, 3.604], "nll": 0.0804, "kl": None, "memorized": 0.125}


def test_values_have_the_digits_and_the_scale_of_their_metric():
    assert (value_text(EM, STATS), value_text(NLL, STATS), value_text(MEMORIZED, STATS)) == ("3.1", "0.080", "12.5")
    assert value_text(KL, STATS) == value_text(LONGEST_COMMON_RUN, STATS) == value_text(EM, None) == "-"
    assert value_text(EM, {"em": math.nan}) == value_text(EM, {"em": "three"}) == "-"


def test_intervals_are_scaled_as_values_are_and_missing_ones_are_nothing():
    assert interval_text(EM, STATS) == "2.8 to 3.6"
    assert interval_text(MEMORIZED, {"memorized": 0.5, "memorized_ci": [0.25, 0.8125]}) == "25.0 to 81.2"
    for missing in (None, [], [None, None], [1.0, math.inf], "a to b"):
        assert interval_text(EM, {"em": 3.0, "em_ci": missing}) == ""
    assert interval_text(EM, None) == interval_text(NLL, STATS) == ""


@pytest.mark.parametrize(
    ("before", "after", "said"), [(50.0, 3.1, "-46.9"), (3.1, 50.0, "+46.9"), (3.04, 3.0, "+0.0"), (None, 3.0, "-")]
)
def test_changes_have_a_sign(before, after, said):
    assert change_text(EM, {"em": before}, {"em": after}) == said


def test_a_share_changes_in_percent():
    assert change_text(MEMORIZED, {"memorized": 1.0}, {"memorized": 0.25}) == "-75.0" and change_text(EM, None, STATS) == "-"


def test_known_in_any_of_them():
    assert is_known(EM, None, STATS) and not is_known(KL, STATS, None) and not is_known(EM)


def test_the_four_reported_sets_come_first_in_their_order():
    assert set_names({"retain": None, "none": {}, "forget": {}}, {"near": None, "unknown": {}}) == [
        "forget",
        "near",
        "retain",
        "none",
        "unknown",
    ]


def test_rows_and_clusters_are_those_of_the_first_that_knows():
    assert rows_and_clusters(None, STATS) == ("64 rows", "61 clusters")
    assert rows_and_clusters({"n": 1, "clusters": 1}) == ("1 row", "1 cluster")
    assert rows_and_clusters({"n": 12800, "clusters": 1200}) == ("12,800 rows", "1,200 clusters")
    assert rows_and_clusters(None, None) == rows_and_clusters({"em": 1.0}) == ("- rows", "- clusters")


def test_a_mean_over_some_of_the_rows_says_so():
    part = fake_results.set_stats(1280, 1200, 2.0, 3.0, 0.0, decoded=200)
    assert in_part(LONGEST_COMMON_RUN, None, part) == "200 of 1,280 rows" and in_part(EM, part) == ""
    assert in_part(LONGEST_COMMON_RUN, fake_results.set_stats(64, 61, 2.0, 3.0, 0.0)) == ""
    assert in_part(LONGEST_COMMON_RUN, {**part, "longest_common_run": None}) == ""


def test_the_parts_of_near_are_shown_where_there_are_near_rows():
    parts = {"near_forgotten": None, "near_other": STATS}
    before = {"forget": STATS, "bystander": None, "near": STATS, **parts, "retain": None}
    assert set_names(before, before) == ["forget", "bystander", "near", "near_forgotten", "near_other", "retain"]
    assert set_names({**before, "near": None, "near_other": None}) == ["forget", "bystander", "near", "retain"]
