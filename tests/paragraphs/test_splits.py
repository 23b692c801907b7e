from __future__ import annotations

import itertools
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from memunlearn.errors import UserError
from memunlearn.paragraphs.caps import Caps
from memunlearn.paragraphs.paragraph_set import ParagraphSet, concatenate
from memunlearn.paragraphs.splits import (
    LIKE_KNOWN,
    LIKE_MEMORIZED,
    LIKE_PROTECTED,
    MIDDLE_EM,
    OVER_MAX_FORGET,
    PROTECTED,
    ROLE_NAMES,
    SET_NAMES,
    SUSPECTED,
    describe,
    sets_as_given,
    split_by_em,
    split_named,
    split_pools,
)

P, C = 20, 10
NO_CAPS = Caps()
WITH_PROTECTED = (*SET_NAMES, PROTECTED)


def paragraphs(clusters: list[int], name: str = "rows") -> ParagraphSet:
    """One row for each number: rows with the same number share their 20-token prefix and nothing else."""
    unique = itertools.count(10**6)
    rows = [[1000 * number + place for place in range(P)] + [next(unique) for _ in range(C)] for number in clusters]
    ids = torch.tensor(rows, dtype=torch.int64)
    return ParagraphSet(ids.reshape(-1, P + C), P, tuple(f"{name}:{row}" for row in range(len(clusters))))


def check(sets, everything: ParagraphSet) -> None:
    """What holds for every split, whatever it was made from."""
    positions = torch.cat([sets.rows[name] for name in SET_NAMES]).tolist()
    assert len(positions) == len(set(positions)), "a row is in two sets"
    assert len(positions) + sum(sets.dropped.values()) == len(everything), "rows are lost"
    home: dict[int, str] = {}
    for name, members in sets.by_name().items():
        rows = sets.rows[name]
        assert torch.equal(members.ids, everything.ids[rows]) and len(sets.clusters[name]) == len(rows)
        assert members.origin == tuple(everything.origin[row] for row in rows)
        for cluster, prefix in zip(sets.clusters[name].tolist(), members.ids[:, 0].tolist(), strict=True):
            role = "forget or near" if name in ("forget", "near") else name
            assert home.setdefault(cluster, role) == role, f"cluster {cluster} straddles {home[cluster]} and {role}"
            assert home.setdefault(-1 - prefix, role) == role
    assert set(sets.clusters["near"].tolist()) <= set(sets.clusters["forget"].tolist())


def same(one, other) -> bool:
    return all(torch.equal(one.rows[name], other.rows[name]) for name in SET_NAMES)


caps = st.builds(
    Caps,
    max_forget=st.none() | st.integers(1, 12),
    max_bystander=st.none() | st.integers(0, 12),
    max_retain=st.none() | st.integers(3, 12),
)


@settings(max_examples=150, deadline=None)
@given(st.data(), caps, st.integers(0, 2**40))
def test_a_mixed_corpus(data, caps, seed):
    clusters = data.draw(st.lists(st.integers(0, 12), min_size=1, max_size=40))
    em = torch.tensor(data.draw(st.lists(st.sampled_from([0, 2, 3, 9, 10]), min_size=len(clusters), max_size=len(clusters))))
    corpus = paragraphs(clusters)
    memorized = em == C
    touched = {cluster for cluster, yes in zip(clusters, memorized.tolist(), strict=True) if yes}
    candidates = [c for c, value in zip(clusters, em.tolist(), strict=True) if value <= 2 and c not in touched]
    if not memorized.any():
        with pytest.raises(UserError, match="paragraphs.path=CORPUS.*paragraphs.forget="):
            split_by_em(corpus, em, seed, caps)
        return
    if len(set(candidates)) < 3:
        with pytest.raises(UserError, match="at least 3 clusters of non-memorized paragraphs"):
            split_by_em(corpus, em, seed, caps)
        return
    sets = split_by_em(corpus, em, seed, caps)
    check(sets, corpus)
    assert same(sets, split_by_em(corpus, em, seed, caps))
    assert sets.dropped.get(MIDDLE_EM, 0) == int(((em > 2) & ~memorized).sum())
    for name in ("forget", "near", "bystander", "bystander_val"):
        assert bool((em[sets.rows[name]] == C).all())
    retained = [sets.rows[name] for name in ("retain_train", "retain_val", "retain")]
    assert all(len(rows) and bool((em[rows] <= 2).all()) for rows in retained)
    assert sum(map(len, retained)) == min(len(candidates), caps.max_retain or len(candidates))
    wanted = caps.max_forget if caps.max_forget is not None else max(1, int(memorized.sum()) // 2)
    assert len(sets.forget) == min(wanted, int(memorized.sum()))
    assert len(sets.bystander) + len(sets.bystander_val) <= (caps.max_bystander if caps.max_bystander is not None else 99)
    # Only one cluster can have overflowed.
    assert len(set(sets.clusters["near"].tolist())) <= 1


@settings(max_examples=150, deadline=None)
@given(st.data(), caps, st.integers(0, 99))
def test_named_sets(data, caps, seed):
    forget, bystander, retain = (data.draw(st.lists(st.integers(0, 15), max_size=14)) for _ in range(3))
    everything = paragraphs(forget + bystander + retain)
    bounds = [0, len(forget), len(forget) + len(bystander), len(everything)]
    named = [everything.select(range(low, high)) if high > low else None for low, high in itertools.pairwise(bounds)]
    if not len(everything):
        with pytest.raises(UserError, match="paragraphs.forget="):
            split_named(*named, seed=seed, caps=caps)
        return
    own = [c for c in retain if c not in forget + bystander]
    if retain and len(set(own)) < 3:
        with pytest.raises(UserError, match="at least 3 clusters"):
            split_named(*named, seed=seed, caps=caps)
        return
    sets = split_named(*named, seed=seed, caps=caps)
    check(sets, everything)
    assert same(sets, split_named(*named, seed=seed, caps=caps))
    assert sets.dropped.get(LIKE_MEMORIZED, 0) == len(retain) - len(own)
    assert len(sets.forget) + sets.dropped.get(OVER_MAX_FORGET, 0) == len(forget)
    if caps.max_forget is None or caps.max_forget >= len(forget):
        assert sets.rows["forget"].tolist() == list(range(len(forget))), "rows are used as given"
        assert len(sets.near) == sum(c in forget for c in bystander)
    given_whole = sets_as_given(*named)
    check(given_whole, everything)
    assert len(given_whole.forget) == len(forget) and len(given_whole.retain) == len(own)
    assert not len(given_whole.bystander_val) + len(given_whole.retain_train) + len(given_whole.retain_val)


def test_named_rules_by_hand():
    forget, bystander = paragraphs([0, 0, 1], "f"), paragraphs([1, 2, 3, 4, 5, 5], "b")
    retain = paragraphs([0, 2, 6, 7, 8, 8, 9], "r")
    sets = split_named(forget, bystander, retain, seed=0, caps=NO_CAPS)
    assert sets.forget.origin == ("f:0", "f:1", "f:2")
    assert sets.near.origin == ("b:0",)
    assert len(sets.clusters["bystander_val"].unique()) == 1 and len(sets.clusters["bystander"].unique()) == 3
    assert sets.dropped == {LIKE_MEMORIZED: 2}
    assert len(sets.retain_train) + len(sets.retain_val) + len(sets.retain) == 5
    lines = describe(sets)
    assert "forget: 3 rows in 2 clusters" in lines and f"left out: 2 rows: {LIKE_MEMORIZED}" in lines


def test_pools_are_not_scored_and_keep_their_roles():
    memorized, non_memorized = paragraphs([0] * 6 + list(range(1, 13)), "mem"), paragraphs([0, *range(20, 60)], "non")
    sets = split_pools(memorized, non_memorized, seed=4, caps=NO_CAPS)
    assert len(sets.forget) == 9
    assert len(sets.forget) + len(sets.near) + len(sets.bystander) + len(sets.bystander_val) == 18
    assert all(origin.startswith("mem") for origin in sets.forget.origin + sets.bystander.origin + sets.near.origin)
    assert sets.dropped == {LIKE_MEMORIZED: 1}
    assert (len(sets.retain_train), len(sets.retain_val), len(sets.retain)) == (20, 10, 10)
    assert "non:0" not in sets.retain_train.origin + sets.retain_val.origin + sets.retain.origin


def test_a_cluster_that_overflows_the_cap_leaves_near_rows():
    sets = split_pools(paragraphs([0] * 8), paragraphs([5, 6, 7]), seed=0, caps=Caps(max_forget=3))
    assert (len(sets.forget), len(sets.near), len(sets.bystander)) == (3, 5, 0)


def test_one_memorized_paragraph_is_the_forget_set():
    sets = split_pools(paragraphs([0]), paragraphs([5, 6, 7]), seed=0, caps=NO_CAPS)
    assert (len(sets.forget), len(sets.near), len(sets.bystander), len(sets.bystander_val)) == (1, 0, 0, 0)


def test_identical_rows_are_kept():
    corpus = paragraphs([0, 1, 2, 3, 4])
    corpus = corpus.select([0, 0, 1, 1, 2, 2, 2, 3, 4])
    sets = split_by_em(corpus, torch.tensor([10, 10, 10, 10, 0, 0, 0, 0, 0]), seed=1, caps=NO_CAPS)
    check(sets, corpus)
    assert sum(len(members) for members in sets.by_name().values()) == 9


def test_a_cap_on_retain_takes_many_clusters_rather_than_one_large_one():
    non_memorized = paragraphs([50] * 300 + list(range(51, 60)))
    sets = split_pools(paragraphs([0, 1]), non_memorized, seed=0, caps=Caps(max_retain=12))
    assert sum(len(sets.clusters[name].unique()) for name in ("retain_train", "retain_val", "retain")) == 10
    assert len(sets.retain_train) + len(sets.retain_val) + len(sets.retain) == 12


def test_shares_of_the_rows():
    sets = split_pools(
        paragraphs(list(range(80))), paragraphs([n // 3 for n in range(600, 1500)]), seed=0, caps=Caps(max_retain=400)
    )
    assert (len(sets.forget), len(sets.bystander), len(sets.bystander_val)) == (40, 30, 10)
    assert abs(len(sets.retain_train) - 200) <= 3 and abs(len(sets.retain_val) - 100) <= 3 and abs(len(sets.retain) - 100) <= 3


def test_large_clusters_are_not_in_the_same_sets_whatever_the_seed():
    sizes = [49, 30, 20] + [1] * 150
    large = [n for n, size in enumerate(sizes) for _ in range(size)]
    memorized, non_memorized = paragraphs(large), paragraphs([1000 + n for n in large])
    homes: dict[int, set[str]] = {}
    for seed in range(24):
        sets = split_pools(memorized, non_memorized, seed, NO_CAPS)
        for name, members in sets.by_name().items():
            for first in members.ids[:, 0].tolist():
                homes.setdefault(first // 1000, set()).add(name)
    for cluster in range(3):
        assert {"forget", "bystander"} <= homes[cluster]
        assert homes[1000 + cluster] == {"retain_train", "retain_val", "retain"}


def test_seeds():
    memorized, non_memorized = paragraphs(list(range(30))), paragraphs(list(range(100, 160)))
    splits = [split_pools(memorized, non_memorized, seed, NO_CAPS) for seed in range(4)]
    for name in ("forget", "bystander_val", "retain"):
        assert len({tuple(sets.rows[name].tolist()) for sets in splits}) == 4
    # Fixed, so that a published seed means the same rows on every machine.
    assert split_pools(memorized, non_memorized, 0, Caps(max_forget=5)).rows["forget"].tolist() == [4, 8, 10, 11, 27]
    with pytest.raises(UserError, match="seed=-1"):
        split_pools(memorized, non_memorized, -1, NO_CAPS)


def test_caps_do_not_move_other_sets():
    memorized, non_memorized = paragraphs(list(range(30))), paragraphs(list(range(100, 160)))
    few = split_pools(memorized, non_memorized, 0, Caps(max_forget=4))
    more = split_pools(memorized, non_memorized, 0, Caps(max_forget=8))
    assert set(few.rows["forget"].tolist()) < set(more.rows["forget"].tolist())
    assert torch.equal(few.rows["retain"], more.rows["retain"])


@settings(max_examples=100, deadline=None)
@given(st.data(), caps, st.integers(0, 99), st.sampled_from([0.2, 0.5, 0.75, 1.0]))
def test_protected_rows_are_bystanders_that_would_be_reported_and_no_other_set_changes(data, caps, seed, protect):
    memorized = data.draw(st.lists(st.integers(0, 20), min_size=1, max_size=30))
    corpus = paragraphs(memorized + [50, 51, 52, 52, 53])
    em = torch.tensor([C] * len(memorized) + [0] * 5)
    given_caps = replace(caps, protect=protect)
    without = split_by_em(corpus, em, seed, caps)
    assert without.protected is None
    clusters = without.clusters["bystander"].unique()
    if not round(protect * len(clusters)):
        with pytest.raises(UserError, match=f"paragraphs.protect={protect} of {len(clusters)} clusters of bystanders"):
            split_by_em(corpus, em, seed, given_caps)
        return
    sets = split_by_em(corpus, em, seed, given_caps)
    for name in SET_NAMES:
        assert name == "bystander" or torch.equal(sets.rows[name], without.rows[name]), name
    reported, protected = sets.rows["bystander"].tolist(), sets.rows["protected"].tolist()
    assert sorted(reported + protected) == without.rows["bystander"].tolist() and not set(reported) & set(protected)
    assert len(sets.clusters["protected"].unique()) == round(protect * len(clusters))
    others = [cluster for name in SET_NAMES for cluster in sets.clusters[name].tolist()]
    assert not set(others) & set(sets.clusters["protected"].tolist())
    assert sets.dropped == without.dropped and tuple(sets.by_name()) == WITH_PROTECTED


def test_every_kind_of_split_protects():
    memorized, retain = paragraphs(list(range(16)), "m"), paragraphs(list(range(50, 60)), "r")
    half = Caps(protect=0.5)
    pools = split_pools(memorized, retain, 3, half)
    whole = split_pools(memorized, retain, 3, NO_CAPS)
    assert sorted([*pools.protected.origin, *pools.bystander.origin]) == sorted(whole.bystander.origin)
    assert len(pools.protected) == len(pools.bystander) == 3 and len(pools.bystander_val) == 2
    forget, bystander = memorized.select(range(4)), memorized.select(range(4, 16))
    named = split_named(forget, bystander, retain, 3, half)
    assert (len(named.bystander), len(named.protected), len(named.bystander_val)) == (5, 4, 3)
    # Rows of a file and a share of the bystanders are protected together.
    given_too = paragraphs([70, 71, 4], "p")
    both = split_named(forget, bystander, retain, 3, half, protected=given_too)
    assert set(given_too.origin) < set(both.protected.origin) and both.dropped == {LIKE_PROTECTED: 1}
    assert len(both.protected) == 3 + 4 and len(both.bystander) == 5 and len(both.bystander_val) == 2
    assert all(origin.startswith("m:") for origin in set(both.protected.origin) - set(given_too.origin))


@pytest.mark.parametrize("share", [-0.1, 1.01, True, "half"])
def test_what_is_no_share_of_the_bystanders(share):
    with pytest.raises(UserError, match=f"paragraphs.protect={share} is not a share"):
        Caps(protect=share)


@pytest.mark.parametrize("setting", [{"max_forget": 0}, {"max_bystander": -1}, {"max_retain": 2}])
def test_caps_that_leave_nothing(setting):
    with pytest.raises(UserError, match=f"paragraphs.{next(iter(setting))}="):
        Caps(**setting)


def test_em_of_another_length():
    with pytest.raises(ValueError, match="3 paragraphs came with EM of shape"):
        split_by_em(paragraphs([0, 1, 2]), torch.tensor([1, 2]), 0, NO_CAPS)


def test_protected_rows_are_apart_from_every_other_set():
    forget, bystander, protected = paragraphs([0, 1], "f"), paragraphs([1, 2, 3, 4, 5], "b"), paragraphs([3, 10, 10], "p")
    retain = paragraphs([10, 20, 21, 22, 23], "r")
    sets = split_named(forget, bystander, retain, 0, NO_CAPS, protected=protected)
    assert sets.protected.origin == ("p:0", "p:1", "p:2") and sets.near.origin == ("b:0",)
    others = [origin for name in SET_NAMES for origin in getattr(sets, name).origin]
    assert "b:2" not in others and "r:0" not in others and not [origin for origin in others if origin.startswith("p")]
    assert sets.dropped == {LIKE_PROTECTED: 1, LIKE_MEMORIZED: 1}
    assert tuple(sets.by_name()) == WITH_PROTECTED
    everything = concatenate([forget, bystander, retain, protected])
    for name in WITH_PROTECTED:
        assert torch.equal(sets.by_name()[name].ids, everything.ids[sets.rows[name]])
    shared = set(sets.clusters["protected"].tolist())
    assert not [name for name in SET_NAMES if shared & set(sets.clusters[name].tolist())]
    assert "protected: 3 rows in 2 clusters" in describe(sets)
    given = sets_as_given(forget, bystander, retain, protected)
    assert given.protected.origin == sets.protected.origin and len(given.bystander) == 3


def test_a_row_cannot_be_forgotten_and_kept():
    with pytest.raises(UserError, match="1 rows of paragraphs.protected are near-duplicates of rows of paragraphs.forget"):
        split_named(paragraphs([0, 1]), None, None, 0, NO_CAPS, protected=paragraphs([1, 7]))
    reported = sets_as_given(
        paragraphs([0, 1]), None, None, paragraphs([1, 7])
    )  # nothing is trained: there is nothing to refuse
    assert len(reported.forget) == len(reported.protected) == 2


def test_suspected_rows_are_apart_from_every_other_set_and_of_no_weight_to_the_rest():
    forget, suspected = paragraphs([0, 1], "f"), paragraphs([7, 1, 8, 7], "s")
    retain = paragraphs([8, 20, 21, 22, 23, 24], "r")
    sets = split_named(forget, None, retain, 3, NO_CAPS, suspected=suspected)
    assert sets.suspected.origin == ("s:0", "s:2", "s:3") and len(set(sets.clusters[SUSPECTED].tolist())) == 2
    assert sets.dropped == {LIKE_KNOWN: 1, LIKE_MEMORIZED: 1}  # like a row to be forgotten; to be retained, but like these
    assert tuple(sets.by_name()) == tuple(sets.rows) == (*SET_NAMES, SUSPECTED) and set(ROLE_NAMES) == {
        *WITH_PROTECTED,
        SUSPECTED,
    }
    everything = concatenate([forget, retain, suspected])
    for name, members in sets.by_name().items():
        assert torch.equal(members.ids, everything.ids[sets.rows[name]])
        assert name == SUSPECTED or not set(sets.clusters[name].tolist()) & set(sets.clusters[SUSPECTED].tolist())
    without = split_named(forget, None, paragraphs([20, 21, 22, 23, 24], "r"), 3, NO_CAPS)
    assert without.suspected is None and [len(without.rows[name]) for name in SET_NAMES] == [
        len(sets.rows[name]) for name in SET_NAMES
    ]
    assert "suspected: 3 rows in 2 clusters" in describe(sets)
    given = sets_as_given(forget, None, retain, suspected=suspected)
    assert given.suspected.origin == sets.suspected.origin and given.dropped == sets.dropped and len(given.retain) == 5


def test_suspected_rows_that_are_like_named_memorized_ones_are_known():
    sets = split_named(
        paragraphs([0]),
        paragraphs([1, 2, 3, 4, 5]),
        None,
        0,
        NO_CAPS,
        protected=paragraphs([6]),
        suspected=paragraphs([5, 6, 9]),
    )
    assert len(sets.suspected) == 1 and sets.dropped[LIKE_KNOWN] == 2


def test_without_protected_rows_there_is_no_such_set():
    sets = split_named(paragraphs([0, 1]), paragraphs([2, 3]), paragraphs([4, 5, 6]), 0, NO_CAPS)
    assert sets.protected is None and tuple(sets.by_name()) == tuple(sets.rows) == SET_NAMES
