"""What is said of made-up outcomes of noise: what halves EM, what is worse, and what cannot be told."""

import dataclasses
import json

import pytest
import torch
from tiny_material import tiny_material

from memunlearn.analyses.claims import TOO_FEW
from memunlearn.analyses.weight_noise import WeightNoise
from memunlearn.localization.labelled import Labelled

QUICK = WeightNoise(fraction=0.05, scales=[0.5, 3], seeds=2)


def plain(finding):
    return json.loads(json.dumps(dataclasses.asdict(finding), allow_nan=False))


def rows_of(finding, **wanted):
    table = finding.tables["weight_noise"]
    rows = [dict(zip(table, values, strict=True)) for values in zip(*table.values(), strict=True)]
    return [row for row in rows if all(row[key] == value for key, value in wanted.items())]


def made_up(monkeypatch, em, nll, seeds=5, clusters=None):
    """The analysis of a made-up outcome: (choice, scale, seed, which rows) -> EM and NLL of every row."""

    def fake(model, choices, paragraphs, unit, scales, seeds, batch_size, read):
        shape = (len(choices), len(scales), len(seeds), len(paragraphs))
        em_found, nll_found = torch.zeros(2, *shape, dtype=torch.float64)
        wobble = 0.01 * torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
        for c, choice in enumerate(choices):
            for s, scale in enumerate(scales):
                for r in range(len(seeds)):
                    em_found[c, s, r, :12] = em(choice, scale, r)
                    for rows, what in ((slice(12), "memorized"), (slice(12, 26), "others"), (slice(26, None), "own")):
                        nll_found[c, s, r, rows] = nll(choice, scale, r, what)
        every = ("choice", "scale", "seed", "row")
        values = {"em": (every, em_found), "nll": (every, nll_found + wobble), "read": (("seed", "row"), read)}
        return Labelled({"choice": list(choices), "scale": scales, "seed": seeds, "row": range(len(paragraphs))}, values)

    monkeypatch.setattr("memunlearn.analyses.weight_noise.measure.weight_noise", fake)
    material = tiny_material(memorized=12, others=14)
    if clusters is not None:
        material = dataclasses.replace(material, clusters=clusters)
    return dataclasses.replace(QUICK, seeds=seeds)(material)


def test_the_sentence_says_when_em_halves_and_what_is_worse(monkeypatch):
    finding = made_up(
        monkeypatch,
        em=lambda choice, scale, seed: 9 if choice != "top" else 4.4 - seed / 5 if scale > 1 else 8,
        nll=lambda choice, scale, seed, what: 30.0 + seed if what == "memorized" else 20.0 + scale,
    )
    assert "is the least that halves memorized EM (from 9.0 to 4.0 tokens)" in finding.sentences[0]
    assert "suffer" not in finding.sentences[0]  # it has no control to say so by
    assert "the top weights do more harm than random weights in every seed" in finding.sentences[1]
    assert "the top weights do more harm than the top weights of non-memorized text in every seed" in finding.sentences[1]
    assert finding.numbers["halved_at"] == 3 and finding.numbers["halved_at_by_choice"]["random"] is None


def test_exactly_half_of_em_is_halved_and_equal_is_no_difference(monkeypatch):
    finding = made_up(monkeypatch, em=lambda choice, scale, seed: 4.5, nll=lambda choice, scale, *_: 5.0 + scale)
    assert finding.numbers["halved_at"] == 0.5 and finding.numbers["compared_at"] == 0.5
    assert finding.sentences[1].count("no difference between the top weights and") == 3
    barely = made_up(
        monkeypatch, em=lambda choice, scale, seed: 4.6 if scale < 1 else 4.4, nll=lambda choice, scale, *_: 5.0 + scale
    )
    assert barely.numbers["halved_at"] == 3


def test_no_effect_and_no_difference_are_said_to_be_none(monkeypatch):
    finding = made_up(
        monkeypatch,
        em=lambda choice, scale, seed: 8 - seed / 5,
        nll=lambda choice, scale, seed, what: 5.0 + 45 * seed if what == "memorized" else 30.0 + scale,
    )
    assert finding.sentences[0].startswith("No noise up to 3 standard deviations")
    assert finding.sentences[1].count("no difference between the top weights and") == 3
    assert finding.numbers["halved_at"] is None and finding.numbers["compared_at"] == 3
    assert "nothing says that they matter to memorized text in particular" in finding.sentences[2]


def harmful(extra):
    """Harm that grows with the noise, and this much more to memorized text with its own top weights."""
    return lambda choice, scale, seed, what: (
        40.0 + scale + 0.01 * seed + (extra if what == "memorized" and choice == "top" else 0.0)
    )


@pytest.mark.parametrize(("extra", "says", "short"), [(2.0, "matter more to", "more"), (-2.0, "matter less to", "less")])
def test_a_difference_from_important_weights_is_found(monkeypatch, extra, says, short):
    finding = made_up(monkeypatch, lambda *_: 0, harmful(extra))
    assert f"these weights {says} memorized text than weights that merely matter" in finding.sentences[2]
    found = finding.numbers["against_control"]
    assert found["memorized_suffers"] == short
    for contrast in ("same_noise", "same_harm"):
        assert found[contrast]["difference"]["value"] == pytest.approx(extra, abs=0.05)
    plain(finding)


def test_weights_that_merely_matter_are_not_taken_for_memorized_ones(monkeypatch):
    """Memorized text suffers most, whatever the weights; noise on its top weights does twice the harm, but to all text."""

    def suffer(choice, scale, seed, what):
        dose = (2 if choice == "top" else 1) * scale
        return 40.0 + dose * (3 if what == "memorized" else 1) + 0.01 * seed

    finding = made_up(monkeypatch, lambda *_: 0, suffer)
    assert "nothing says that they matter to memorized text in particular" in finding.sentences[2]
    assert (
        finding.numbers["against_control"]["same_noise"]["difference"]["low"] > 0
    )  # it would be taken for it by the noise alone
    assert finding.numbers["against_control"]["memorized_suffers"] == "no clear difference"


def test_too_few_seeds_tell_nothing(monkeypatch):
    finding = made_up(monkeypatch, lambda choice, *_: 0 if choice == "top" else 9, harmful(2.0), seeds=4)
    assert "too few noise seeds to tell them apart (4 of 5)" in finding.sentences[1]
    assert "too few seeds to tell this from chance" in finding.sentences[2]
    assert finding.numbers["against_control"]["memorized_suffers"] is None


def test_too_few_clusters_tell_nothing(monkeypatch):
    """The difference that is found above, where twelve memorized rows are nine clusters."""
    clusters = torch.cat([torch.arange(12) % 9, torch.arange(9, 23)])
    finding = made_up(monkeypatch, lambda *_: 0, harmful(2.0), clusters=clusters)
    assert TOO_FEW in finding.sentences[2] and "matter more" not in finding.sentences[2]
    found = finding.numbers["against_control"]
    assert found["memorized_suffers"] is None
    for contrast in ("same_noise", "same_harm"):
        difference = found[contrast]["difference"]
        assert difference["value"] == pytest.approx(2, abs=0.05)
        assert difference["low"] is difference["high"] is difference["p_value"] is None
    plain(finding)


def test_harm_that_the_control_never_does_is_not_compared(monkeypatch):
    finding = made_up(monkeypatch, lambda *_: 0, lambda choice, scale, *_: 40.0 + scale + (9 if choice == "top" else 0))
    assert "cannot be told" in finding.sentences[2] and finding.numbers["against_control"] is None
    plain(finding)


def test_noise_that_breaks_the_model_is_none(monkeypatch):
    finding = made_up(monkeypatch, lambda *_: 0, lambda choice, scale, *_: float("nan") if scale > 1 else 5.0)
    assert rows_of(finding, choice="top", scale=3.0)[0]["nll"] is None
    plain(finding)
