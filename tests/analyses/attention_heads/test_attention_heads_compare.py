"""Attention that the test makes up: groups of rows, the head that is named, and its curves, against loops."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from memunlearn.analyses.attention_heads.compare import compare
from memunlearn.analyses.attention_heads.measure import Measured
from memunlearn.analyses.attention_heads.tell import tell
from memunlearn.localization.frequency_of_heads import HeadLinks, HeadTaus, NamedHead
from memunlearn.localization.labelled import Labelled
from memunlearn.paragraphs.clusters import cluster_shares
from memunlearn.statistics.two_groups import mean_difference

LAYERS, HEADS, P = 2, 3, 6
SETS = np.repeat([0, 1, 2], [12, 13, 4])
N = len(SETS)
CLUSTERS = np.r_[0, 0, 0, np.arange(1, N - 2)]
NAMED = (1, 2)


def random(*shape, seed=0):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def measured(tested=None, named=True, within=True):
    attention = random(N, LAYERS, HEADS, P).float()
    attention[..., -1] = torch.nan
    tau = random(N, LAYERS, HEADS, seed=1) - 0.5
    tau[2, 1, 2] = torch.nan
    dims = ("row", "layer", "head")
    labels = {"row": range(N), "layer": range(LAYERS), "head": range(HEADS), "other_head": range(HEADS), "position": range(P)}
    values = {
        "attention": ((*dims, "position"), attention),
        "tau": (dims, tau),
        "entropy": (dims, random(N, LAYERS, HEADS, seed=2)),
        "with_others": (dims, random(N, LAYERS, HEADS, seed=3) - 0.5),
        "rank_sums": (("set", "layer", "head", "rank"), random(3, LAYERS, HEADS, P, seed=4)),
        "rank_counts": (("set", "layer", "rank"), 1 + random(3, LAYERS, P, seed=5)),
        "co_sums": (("set", "layer", "head", "other_head"), random(3, LAYERS, HEADS, HEADS, seed=6) + 2 * torch.eye(HEADS)),
        "visible": (("layer",), torch.tensor([P, 4])),
    }
    found = Labelled(labels | {"set": range(3), "rank": range(P)}, values)
    grid = random(4, LAYERS, HEADS, seed=7).numpy()
    grid[0] -= 0.9
    grid[2] = grid[2] if within else np.nan
    groups = {name: HeadTaus(*grid) for name in ("all", "memorized", "non-memorized")}
    tested = np.arange(N) % 2 == 0 if tested is None else tested
    head = NamedHead(
        head=NAMED,
        tested=tested,
        tau=-0.3,
        p=0.02,
        in_sets={"memorized": -0.4, "non-memorized": -0.2},
        difference=-0.2,
        difference_p=0.01,
    )
    links = HeadLinks(groups, head if named else None, 17)
    frequency = torch.tensor([[3.0, 1, 3, 2, 5, 9]]).repeat(N, 1)
    return Measured(
        attention=found,
        links=links,
        sets=SETS,
        clusters=CLUSTERS,
        shares=cluster_shares(CLUSTERS, SETS),
        frequency=frequency,
        within=9,
    )


MATERIAL = SimpleNamespace(
    memorized=torch.from_numpy(np.r_[SETS == 0, True]),
    non_memorized=torch.from_numpy(np.r_[SETS == 1, False]),
    paragraphs=SimpleNamespace(prefix_length=P),
)


def told(given):
    return tell(given, compare(given, 99, 0), MATERIAL, 2000, 5)


def weighted_mean(values, member):
    """Each cluster of a set counts once."""
    weights = cluster_shares(CLUSTERS, SETS)
    return np.average(values[member], weights=weights[member])


@pytest.mark.parametrize(("name", "sets"), [("all", [0, 1, 2]), ("memorized", [0]), ("non-memorized", [1])])
def test_groups_are_means_in_which_each_cluster_counts_once(name, sets):
    given = measured()
    group = compare(given, 99, 0).groups[name]
    member = np.isin(SETS, sets)
    assert group.rows == member.sum() and group.tau_rows[1, 2] == member.sum() - (0 in sets)
    for key, found in (("entropy", group.entropy), ("with_others", group.with_others)):
        values = given.attention[key].numpy()
        for layer in range(LAYERS):
            for head in range(HEADS):
                assert found.value[layer, head] == pytest.approx(weighted_mean(values[:, layer, head], member))
    sums, counts = (given.attention[key].numpy()[sets].sum(0) for key in ("rank_sums", "rank_counts"))
    np.testing.assert_allclose(group.by_rank, sums / counts[:, None])
    products = given.attention["co_sums"].numpy()[sets].sum(0)
    for layer in range(LAYERS):
        scale = np.sqrt(np.diag(products[layer]))
        np.testing.assert_allclose(group.correlation[layer], products[layer] / np.outer(scale, scale))


def test_the_lowest_head_of_a_group_and_those_linked_to_frequency_are_listed():
    given = measured()
    numbers = compare(given, 99, 0).numbers
    taus = given.links.groups["all"]
    lowest = numbers["rare_token_head_of"]["all"]
    assert taus.tau[lowest["layer"], lowest["head"]] == taus.tau.min() == lowest["tau"]["value"]
    linked = {(one["layer"], one["head"]) for one in numbers["heads_linked_to_frequency"]["all"]}
    assert linked == {tuple(place) for place in np.argwhere(taus.tau_p < 0.05).tolist()}
    assert numbers["clusters"] == N - 2 and numbers["within_rows"] == 9 and numbers["token_types"] == 17


def test_contrary_heads_have_an_interval_below_0():
    given = measured()
    given.attention["with_others"][:, 0, 1] -= 2
    for name, group in compare(given, 99, 0).groups.items():
        assert (0, 1) in group.contrary_heads, name
        assert all(group.with_others.high[head] < 0 for head in group.contrary_heads)
    table = told(given).tables["attention_heads"]
    for s, layer, head, said in zip(*(table[key] for key in ("set", "layer", "head", "anti_correlated")), strict=True):
        if (layer, head) == (0, 1):
            assert said is True, s
    assert "head 1 of layer 0, -2" in told(given).sentences[2]


def test_the_named_head_is_judged_on_the_other_half():
    given = measured()
    compared = compare(given, 99, 0)
    named, tested = compared.numbers["rare_token_head"], given.links.named.tested
    assert (named["layer"], named["head"]) == NAMED == compared.named
    assert named["tested_on"] == {"rows": int(tested.sum()), "clusters": len(np.unique(CLUSTERS[tested]))}
    assert named["named_on"]["rows"] == N - int(tested.sum())
    others = given.attention["with_others"][:, NAMED[0], NAMED[1]].numpy()
    assert named["correlation_with_others"]["value"] == pytest.approx(weighted_mean(others, tested))
    values, first, labels = [], [], []
    taus = given.attention["tau"][:, NAMED[0], NAMED[1]].numpy()
    for which in (0, 1):
        for cluster in sorted(set(CLUSTERS[tested & (SETS == which)])):
            mine = [taus[i] for i in range(N) if tested[i] and (SETS[i], CLUSTERS[i]) == (which, cluster)]
            mine = [value for value in mine if not np.isnan(value)]
            if mine:
                values.append(np.mean(mine))
                first.append(which == 0)
                labels.append(cluster)
    expected = mean_difference(values, first, labels, 0)
    assert compared.difference.value == pytest.approx(expected.value) and compared.difference.low == expected.low
    assert named["difference"] == {"value": -0.2, "p_value_over_clusters": expected.p_value, "p_value_over_types": 0.01}


def test_without_another_half_there_is_nothing_to_correlate():
    finding = told(measured(tested=np.zeros(N, dtype=bool)))
    assert finding.numbers["rare_token_head"]["correlation_with_others"] is None
    assert "no other half of the clusters to do it in" in finding.sentences[1]


def test_curves_are_means_per_occurrence_by_rank_of_the_head_and_of_the_others():
    given = measured()
    curves = compare(given, 99, 0).curves
    ranks = [2, 0, 2, 1, 3, 4]  # of the frequencies 3 1 3 2 5 9
    attention = given.attention["attention"].double().numpy()[:, NAMED[0]]
    weights = cluster_shares(CLUSTERS, SETS)
    for place, name in enumerate(("memorized", "non-memorized")):
        for which, heads in (("named", [NAMED[1]]), ("others", [h for h in range(HEADS) if h != NAMED[1]])):
            for rank in range(P):
                sums = counts = 0.0
                for row in np.flatnonzero(SETS == place):
                    for position in range(P - 1):  # not the last token's to itself
                        if ranks[position] == rank:
                            sums += weights[row] * attention[row, heads, position].mean()
                            counts += weights[row]
                value = curves[name, which].value[rank]
                assert np.isnan(value) if not counts else value == pytest.approx(sums / counts)


def test_tables_have_a_row_for_every_head_rank_and_other_head():
    finding = told(measured())
    tables = {name: len(table["set"]) for name, table in finding.tables.items()}
    heads = 3 * LAYERS * HEADS
    assert tables == {
        "attention_heads": heads,
        "attention_heads_ranks": heads * P,
        "attention_heads_correlation": heads * HEADS,
    }
    assert list(finding.tables["attention_heads_correlation"]) == ["set", "layer", "head", "other_head", "correlation"]


def test_figures_mark_the_named_head_and_show_what_there_is():
    charts = {chart.name.removeprefix("attention_heads_"): chart for chart in told(measured()).charts}
    assert list(charts) == ["frequency", "within_positions", "ranks", "correlation", "entropy"]
    for name in ("frequency", "within_positions", "entropy"):
        assert charts[name].caption.endswith("The dot is head 2 of layer 1.")
        assert all(panel.marked == [NAMED] for panel in charts[name].panels)
    assert all(panel.row_label == "head" and not panel.marked for panel in charts["correlation"].panels)
    assert charts["frequency"].panels[1].title == "memorized (12 rows)"
    assert charts["within_positions"].panels[1].title == "memorized"
    without = {chart.name.removeprefix("attention_heads_"): chart for chart in told(measured(named=False, within=False)).charts}
    assert list(without) == ["frequency", "entropy"] and "The dot" not in without["entropy"].caption


def test_what_was_left_out_is_noted():
    notes = told(measured()).notes
    assert "12 rows of 13 memorized rows were drawn with the seed." in notes
    assert any("their other positions left out of correlations and ranks: 1 (4 of 6)" in note for note in notes)
    assert any("at most 5 memorized" in note and "9 rows compared" in note for note in notes)
