"""Heads against the frequency of tokens: what was made by hand is found, and where nothing is there, hardly anything is."""

import numpy as np
import pytest
import torch
from text_like import VOCABULARY, text_like
from transformers import GPT2Config, GPT2LMHeadModel

from memunlearn.localization.attention_heads import attention_heads
from memunlearn.localization.frequency_of_heads import halves_of, link_heads
from memunlearn.paragraphs.clusters import cluster_shares
from memunlearn.paragraphs.frequency import count_tokens
from memunlearn.statistics.frequency_link import link
from memunlearn.statistics.kendall import tau_b
from memunlearn.statistics.shuffled_types import named_p, shuffles

LAYERS, HEADS = 2, 4


def attention_of_types(prefixes, rng, noise=1.0):
    """Every head attends more to some token types than to others, whatever their frequency."""
    liked = rng.normal(size=(VOCABULARY, LAYERS, HEADS))
    values = liked[prefixes] + noise * rng.normal(size=(*prefixes.shape, LAYERS, HEADS))
    attention = torch.from_numpy(values).permute(0, 2, 3, 1).float()
    attention[..., -1] = torch.nan
    return attention


def made_up(attention, frequency, prefixes):
    """What `link_heads` reads of the attention."""
    tau = tau_b(attention.double().numpy(), frequency[prefixes].double().numpy()[:, None, None])
    return {"attention": attention, "tau": torch.from_numpy(tau)}


def linked(attention, prefixes, frequency, sets, clusters=None, permutations=99, seed=0):
    clusters = np.arange(len(prefixes)) if clusters is None else clusters
    found = made_up(attention, frequency, prefixes)
    few = np.flatnonzero(sets < 2)
    options = {"few": few, "permutations": permutations, "seed": seed}
    return link_heads(found, prefixes, frequency, sets=sets, clusters=clusters, **options)


def test_halves_are_whole_clusters_of_each_set():
    rng = np.random.default_rng(0)
    clusters = rng.integers(0, 40, 200)
    sets = clusters % 3
    sets[clusters == 7] = [0, 1] * (np.sum(clusters == 7) // 2) + [0] * (np.sum(clusters == 7) % 2)
    first = halves_of(sets, clusters, 3)
    for cluster in np.unique(clusters):
        assert len(set(first[clusters == cluster])) == 1
    for which in range(3):
        inside = [len(np.unique(clusters[(sets == which) & half])) for half in (first, ~first)]
        assert abs(inside[0] - inside[1]) <= 2
    assert np.array_equal(first, halves_of(sets, clusters, 3)) and not np.array_equal(first, halves_of(sets, clusters, 4))
    assert halves_of(np.zeros(3, dtype=int), np.zeros(3, dtype=int), 0).all()  # one cluster: no other half


def test_a_head_is_named_in_one_half_and_judged_in_the_other_under_every_shuffle():
    rng = np.random.default_rng(1)
    prefixes, sets = text_like(24, 9, rng), np.repeat([0, 1, 2], [8, 10, 6])
    clusters = np.concatenate([[0, 0, 0], np.arange(1, 22)])
    attention = attention_of_types(prefixes, rng)
    frequency = torch.from_numpy(rng.permutation(VOCABULARY))  # no ties, so that every row has a tau under every shuffle
    found = linked(attention, prefixes, frequency, sets, clusters, permutations=20, seed=5)
    shares = cluster_shares(clusters, sets)
    types, numbers = np.unique(prefixes[:, :-1], return_inverse=True)
    shuffled = shuffles(frequency.numpy()[types], 20, 5)
    numbers = numbers.reshape(24, 8)
    first = halves_of(sets, clusters, 5)
    heads = attention[..., :-1].flatten(1, 2)
    judged, differences = [], []
    for row in shuffled:
        taus = tau_b(heads.double().numpy(), row[numbers][:, None])
        head = np.average(taus[first], axis=0, weights=shares[first]).argmin()
        own = heads[:, head : head + 1]

        def z_of(rows, signs=1.0, own=own, row=row):
            weights = torch.from_numpy(shares * signs)[rows]
            return link(own[rows], torch.from_numpy(numbers)[rows], row[None], weights).z[0, 0]

        judged.append(z_of(np.flatnonzero(~first)))
        differences.append(z_of(np.flatnonzero(~first & (sets < 2)), np.array([1.0, -1, 0])[sets]))
        if len(judged) == 1:
            assert found.named.head == divmod(head, HEADS)
            assert found.named.tau == pytest.approx(np.average(taus[~first, head], weights=shares[~first]), abs=1e-6)
            by_set = [np.average(taus[m, head], weights=shares[m]) for m in (~first & (sets == s) for s in (0, 1))]
            assert list(found.named.in_sets.values()) == pytest.approx(by_set, abs=1e-6)
            assert found.named.difference == pytest.approx(by_set[0] - by_set[1], abs=1e-6)
    assert found.named.p == pytest.approx(named_p(judged)) and found.named.difference_p == pytest.approx(named_p(differences))
    assert np.array_equal(found.named.tested, ~first) and found.types == len(types)


def test_a_head_made_to_look_at_rare_tokens_is_found():
    rng = np.random.default_rng(2)
    prefixes, sets = text_like(60, 20, rng), np.repeat([0, 1], 30)
    frequency = count_tokens(prefixes, VOCABULARY)
    attention = attention_of_types(prefixes, rng)
    attention[:, 1, 2] -= 0.7 * torch.log(frequency[prefixes].double()).float()
    found = linked(attention, prefixes, frequency, sets, permutations=199)
    assert found.named.head == (1, 2) and found.named.tau < 0 and found.named.p < 0.05
    for group in found.groups.values():
        assert group.tau_p[1, 2] < 0.05 and group.within_p[1, 2] < 0.05
        assert (np.delete(group.tau_p.ravel(), HEADS + 2) > 0.05).all()


def test_one_cluster_has_nothing_to_be_judged_in():
    rng = np.random.default_rng(3)
    prefixes = text_like(4, 9, rng)
    found = linked(
        attention_of_types(prefixes, rng), prefixes, count_tokens(prefixes, VOCABULARY), np.zeros(4, int), np.zeros(4)
    )
    assert found.named.tau is None and found.named.p is None and found.named.difference is None
    assert np.isnan(found.groups["all"].within).all() and set(found.groups) == {"all", "memorized"}


@pytest.mark.slow
@pytest.mark.parametrize("shuffled", [True, False])
def test_attention_to_types_is_hardly_ever_linked_to_their_frequency(shuffled):
    """Frequencies as they are counted in the same text, or shuffled over its types: no head follows them."""
    named, corrected, within, difference = 0, 0, 0, 0
    for seed in range(100):
        rng = np.random.default_rng(seed)
        prefixes, sets = text_like(60, 15, rng), np.repeat([0, 1], 30)
        frequency = count_tokens(prefixes, VOCABULARY)
        if shuffled:
            seen = np.unique(prefixes)
            frequency[seen] = frequency[rng.permutation(seen)]
        found = linked(attention_of_types(prefixes, rng), prefixes, frequency, sets, seed=seed)
        everyone = found.groups["all"]
        named += found.named.p < 0.05 and everyone.tau_p[found.named.head] < 0.05
        corrected += everyone.tau_p.min() < 0.05
        within += everyone.within_p.min() < 0.05
        difference += found.named.difference_p < 0.05
    assert max(named, corrected, within, difference) <= 9, (named, corrected, within, difference)


@pytest.mark.slow
def test_untrained_models_hardly_ever_prefer_rare_tokens():
    named, corrected, within = 0, 0, 0
    for seed in range(100):
        torch.manual_seed(seed)
        sizes = {"n_layer": LAYERS, "n_head": HEADS, "n_embd": 32, "n_positions": 16, "vocab_size": VOCABULARY}
        model = GPT2LMHeadModel(GPT2Config(**sizes, initializer_range=0.2)).eval()
        prefixes = text_like(60, 15, np.random.default_rng(seed))
        frequency, sets = count_tokens(prefixes, VOCABULARY), np.repeat([0, 1], 30)
        found = attention_heads(model, prefixes, frequency, torch.from_numpy(sets), 60)
        options = {"few": np.arange(60), "permutations": 99, "seed": seed}
        links = link_heads(found, prefixes, frequency, sets=sets, clusters=np.arange(60), **options)
        everyone = links.groups["all"]
        named += links.named.p < 0.05 and everyone.tau_p[links.named.head] < 0.05
        corrected += everyone.tau_p.min() < 0.05
        within += everyone.within_p.min() < 0.05
    assert max(named, corrected, within) <= 9, (named, corrected, within)
