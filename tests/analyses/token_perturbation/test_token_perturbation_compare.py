"""Perturbed rows that the test makes up: means, kinds, worst replacements, and the figures made of them."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from scipy.stats import kendalltau

from memunlearn.analyses.token_perturbation.charts import ROWS_SHOWN, charts
from memunlearn.analyses.token_perturbation.compare import compare
from memunlearn.analyses.token_perturbation.measure import SETS, PerturbedRows
from memunlearn.analyses.token_perturbation.tell import tell
from memunlearn.localization.labelled import Labelled
from memunlearn.localization.token_perturbation import em_drop, nll_rise
from memunlearn.paragraphs.paragraph_set import ParagraphSet
from memunlearn.statistics.estimates import means_with_intervals
from memunlearn.statistics.two_groups import mean_difference

P, C, VOCABULARY = 4, 6, 40
KINDS = ("random", "random", "second_likely")
CPU = torch.device("cpu")


def perturbed_rows(memorized=12, others=13, seed=0, drops=None):
    """Random EM and NLL; the first position has no second-likely replacement. drops: [n, P, kinds] instead."""
    n = memorized + others
    generator = torch.Generator().manual_seed(seed)
    tokens = torch.randint(VOCABULARY, (n, P, len(KINDS)), generator=generator)
    em_before = torch.full((n,), float(C))
    em = torch.randint(0, C + 1, (n, P, len(KINDS)), generator=generator).float() if drops is None else C - drops.float()
    nll = 2 + torch.rand(n, P, len(KINDS), generator=generator)
    tokens[:, 0, 2], em[:, 0, 2], nll[:, 0, 2] = -1, torch.nan, torch.nan
    each = ("row", "position", "replacement")
    found = Labelled(
        {"row": range(n), "position": range(P), "replacement": KINDS},
        {
            "tokens": (each, tokens),
            "em_before": (("row",), em_before),
            "nll_before": (("row",), torch.ones(n)),
            "em": (each, em),
            "nll": (each, nll),
        },
    )
    ids = torch.randint(VOCABULARY, (n, P + C), generator=generator)
    set_of = np.repeat(SETS, [memorized, others])
    frequency = torch.randint(1, 9, (VOCABULARY,), generator=generator).double()
    return PerturbedRows(
        rows=torch.arange(n) + 100,
        set_of=set_of,
        paragraphs=ParagraphSet(ids, P, tuple(f"row {row}" for row in range(n))),
        perturbations=found,
        alternative=torch.arange(n) % 7 - 1,
        said=ids[:, P:] + 1,
        em_drop=em_drop(found).double().nanmean(2).numpy(),
        nll_rise=nll_rise(found).double().nanmean(2).numpy(),
        frequency=frequency[ids[:, :P]].numpy(),
        clusters=np.arange(n) // 2 * 2 if drops is None else np.arange(n),
        within={name: np.flatnonzero(set_of == name)[:5] for name in SETS},
    )


def material_of(perturbed, tokenizer=None):
    memorized = torch.from_numpy(perturbed.of("memorized"))
    return SimpleNamespace(paragraphs=perturbed.paragraphs, tokenizer=tokenizer, memorized=memorized, non_memorized=~memorized)


def told(perturbed, second_likely=True):
    return tell(perturbed, compare(perturbed, 20, 0, CPU), material_of(perturbed), 20, second_likely)


@pytest.fixture(scope="module")
def perturbed():
    return perturbed_rows()


@pytest.fixture(scope="module")
def compared(perturbed):
    return compare(perturbed, 20, 0, CPU)


@pytest.mark.parametrize("name", SETS)
def test_means_of_a_set_are_over_its_rows_with_intervals_over_clusters(perturbed, compared, name):
    member = perturbed.of(name)
    numbers = compared.numbers["sets"][name]
    clusters = perturbed.clusters[member]
    assert (numbers["rows"], numbers["clusters"], numbers["within_rows"]) == (int(member.sum()), len(set(clusters)), 5)
    for key, values in (("em_drop", perturbed.em_drop), ("nll_rise", perturbed.nll_rise)):
        means = means_with_intervals(np.nanmean(values[member], 1), clusters, 0)
        assert numbers[key]["value"] == pytest.approx(float(means.value)), key
        by_position = compared.by_position[name][key == "nll_rise"]
        for position in range(P):
            assert by_position.value[position] == pytest.approx(values[member, position].mean())


def test_kinds_are_compared_where_all_of_them_exist(perturbed, compared):
    drop = em_drop(perturbed.perturbations).double().numpy()[:, 1:]
    for name in SETS:
        member = perturbed.of(name)
        kinds = compared.numbers["sets"][name]["em_drop_by_kind"]
        assert list(kinds) == ["random", "second_likely"]
        assert kinds["random"]["value"] == pytest.approx(drop[member][:, :, :2].mean())
        assert kinds["second_likely"]["value"] == pytest.approx(drop[member][:, :, 2].mean())


def test_the_worst_replacement_of_a_row_is_found_by_looking_at_all(perturbed):
    drops, places = perturbed.worst()
    em, nll = (perturbed.perturbations[name] for name in ("em", "nll"))
    for row in range(len(em)):
        tried = [
            (float(em[row, p, k]), -float(nll[row, p, k]), p)
            for p in range(P)
            for k in range(3)
            if not torch.isnan(em[row, p, k])
        ]
        lowest, _, position = min(tried)
        assert drops[row] == C - lowest and (places[row] == position or (lowest == C and np.isnan(places[row])))


def test_the_difference_is_of_means_over_rows(perturbed, compared):
    expected = mean_difference(np.nanmean(perturbed.em_drop, 1), perturbed.of("memorized"), perturbed.clusters, seed=0)
    assert compared.difference == expected
    assert compared.numbers["difference"]["em_drop"] == expected.numbers()


def test_taus_are_those_of_scipy(perturbed, compared):
    for row in range(25):
        expected = kendalltau(perturbed.em_drop[row], perturbed.frequency[row]).statistic
        assert compared.taus[row] == pytest.approx(expected, nan_ok=True)


def test_rows_of_the_table_are_those_of_the_numbers(perturbed):
    table = told(perturbed).tables["token_perturbation"]
    assert list(table)[8:] == [
        f"{kind}_{what}" for kind in ("random_1", "random_2", "second_likely") for what in ("token", "em_drop", "nll_rise")
    ]
    for place in range(25 * P):
        row, position = divmod(place, P)
        assert (table["row"][place], table["position"][place]) == (row + 100, position)
        assert table["token"][place] == int(perturbed.paragraphs.ids[row, position])
        for number, kind in enumerate(("random_1", "random_2", "second_likely")):
            token = int(perturbed.perturbations["tokens"][row, position, number])
            assert table[f"{kind}_token"][place] == (None if token < 0 else token)
            assert (table[f"{kind}_em_drop"][place] is None) == (token < 0)


def test_an_alternative_is_shown_with_where_it_comes_from(perturbed):
    table = told(perturbed).tables["token_perturbation_rows"]
    for row in range(25):
        number = int(perturbed.alternative[row])
        if number < 0:
            assert (
                table["alternative"][row] is table["alternative_position"][row] is table["alternative_replaced_by"][row] is None
            )
            continue
        position, kind = divmod(number, len(KINDS))
        assert table["alternative"][row] == " ".join(map(str, perturbed.said[row].tolist()))
        assert table["alternative_position"][row] == position
        assert table["alternative_replaced_by"][row] == str(int(perturbed.perturbations["tokens"][row, position, kind]))
    assert any(
        note.startswith(f"{table['alternative'].count(None)} rows have no alternative") for note in told(perturbed).notes
    )


@pytest.mark.parametrize(("first", "second", "verdict"), [(4, 1, "easier to corrupt"), (1, 4, "harder to corrupt")])
def test_a_clear_difference_is_a_verdict(first, second, verdict):
    drops = torch.randint(0, 2, (25, P, 3), generator=torch.Generator().manual_seed(5))
    drops[:12] += first
    drops[12:] += second
    finding = told(perturbed_rows(drops=drops))
    assert f"memorized continuations are {verdict} (difference" in finding.sentences[0]


def test_equal_drops_everywhere_have_no_correlation_and_no_figure_of_it():
    finding = told(perturbed_rows(drops=torch.full((25, P, 3), 2)), second_likely=False)
    assert {chart.name for chart in finding.charts}.isdisjoint({"token_perturbation_frequency"})
    assert any("25 rows had the same drop" in note for note in finding.notes)
    assert not any("no second-likely replacement" in note for note in finding.notes)


def test_lines_boxes_and_heat_maps_show_the_numbers(perturbed, compared):
    made = {chart.name: chart for chart in charts(perturbed, compared, ["First.", "Second.", "Third."])}
    for which, panel in enumerate(made["token_perturbation_by_position"].panels):
        for series, name in zip(panel.series, SETS, strict=True):
            found = compared.by_position[name][which]
            assert series.y == pytest.approx(found.value.tolist()) and series.x == [0, 1, 2, 3]
            assert (series.low is None) == bool(np.isnan(found.low).all())
    for panel, values in zip(made["token_perturbation_by_row"].panels, perturbed.per_row, strict=True):
        assert [group.values for group in panel.groups] == [values[perturbed.of(name)].tolist() for name in SETS]
    assert made["token_perturbation_by_row"].caption == "Means over all positions, a row each: first."
    heat = made["token_perturbation_rows"].panels[1]
    assert heat.rows == [str(row) for row in range(112, 125)] and heat.title == "non-memorized: 13 rows"
    np.testing.assert_allclose(np.array(heat.values), perturbed.em_drop[12:])


def test_only_the_first_rows_of_a_large_set_are_drawn():
    many = perturbed_rows(memorized=ROWS_SHOWN + 5, others=0)
    [heat] = {chart.name: chart for chart in told(many).charts}["token_perturbation_rows"].panels
    assert heat.title == f"memorized: the first {ROWS_SHOWN} of {ROWS_SHOWN + 5} rows" and len(heat.values) == ROWS_SHOWN
    assert "No non-memorized row was perturbed: there is no comparison." in told(many).notes
