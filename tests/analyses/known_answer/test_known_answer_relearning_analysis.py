"""analysis=known_answer with relearn=true on a tiny model: what it does, what it adds, and what it refuses."""

import json

import numpy as np
import pytest
import torch
from tiny_material import C, tiny_material

from memunlearn.analyses.known_answer import KnownAnswer, settings
from memunlearn.analyses.known_answer.measure import draw_rows, fresh_rows
from memunlearn.analyses.known_answer.relearning.measure import ALL, NEVER, TRUE, WEIGHTS, masks_of, share_in_plant
from memunlearn.errors import UserError
from memunlearn.localization.known_answer import RANDOM, planted_positions
from memunlearn.masks.plants import draw_plant

QUICK = {
    "plants": ("mlp",),
    "seeds": 1,
    "levels": (1.4,),
    "learning_rate": 3e-2,
    "max_steps": 150,
    "keep_weight": 0.1,
    "relearn": True,
    "relearn_planted": 2,
    "forget_learning_rate": 3e-2,
    "forget_learning_rate_all": 1e-2,
    "relearn_steps": (4, 2),
    "relearn_learning_rate": 3e-3,
}


def quick(**options):
    return KnownAnswer(**(QUICK | options))


@pytest.fixture(scope="module")
def material():
    return tiny_material()


@pytest.fixture(scope="module")
def finding(material):
    before = {name: value.clone() for name, value in material.model.state_dict().items()}
    made = quick()(material)
    assert all(torch.equal(value, before[name]) for name, value in material.model.state_dict().items())
    return made


def test_what_comes_before_is_as_it_was(material, finding):
    without = quick(relearn=False)(material)
    assert without.tables.keys() == {"known_answer"} and "relearning" not in without.numbers
    assert finding.tables["known_answer"] == without.tables["known_answer"]
    assert finding.sentences[: len(without.sentences)] == without.sentences
    assert finding.charts[: len(without.charts)] == without.charts and len(finding.charts) == len(without.charts) + 1
    assert finding.notes[: len(without.notes)] == without.notes


def test_table_and_numbers_have_every_choice_of_weights(material, finding):
    table = finding.tables["known_answer_relearning"]
    rows = [dict(zip(table, values, strict=True)) for values in zip(*table.values(), strict=True)]
    assert {row["weights"] for row in rows} == {NEVER, *WEIGHTS}
    assert all(row["is_planted"] for row in rows if row["plant"] == "mlp")
    true = [row for row in rows if row["weights"] == TRUE]
    assert [row["relearn_steps"] for row in true] == [0, 2, 4] and true[0]["is_forgotten"] and true[0]["forget_steps"] > 0
    assert true[0]["forget_em"] <= 3.0 < C and true[0]["other_kl"] > 0
    assert len({row["k"] for row in rows if row["weights"] not in (ALL, NEVER)}) == 1
    assert {row["k"] for row in rows if row["weights"] == ALL} == {sum(weight.size for weight in material.weights)}
    never = [row for row in rows if row["weights"] == NEVER]
    assert [row["relearn_steps"] for row in never] == [0, 2, 4] and never[0]["plant"] is None
    told = finding.numbers["relearning"]["plants"]
    assert told["mlp"][TRUE]["relearned"]["4"]["em"] == true[-1]["em"]
    assert told["mlp"][TRUE]["relearned"]["4"]["em_ci"] is None
    assert "too few plantings for a verdict" in finding.sentences[-3]
    json.dumps([finding.tables, finding.numbers])


def test_the_same_seed_gives_the_same_trials(material, finding):
    assert quick()(material).tables["known_answer_relearning"] == finding.tables["known_answer_relearning"]


@pytest.mark.parametrize("kind", ["mlp", "scattered", "head"])
def test_masks_are_as_large_as_the_plant(material, kind):
    """Of all eligible weights, though some plants are all of what their own filter lets through."""
    rows = draw_rows(material, fresh_rows(material, 1), 1, 24, np.random.default_rng(0))
    plant = draw_plant(kind, material.weights, 0.1, 3)
    masks = masks_of(material, plant, material.model, rows, seed=5)
    eligible = sum(weight.size for weight in material.weights)
    assert tuple(masks) == WEIGHTS
    assert [mask.k for mask in masks.values()] == [plant.mask.k] * (len(WEIGHTS) - 1) + [eligible]
    planted = set(planted_positions(plant.mask.indices, material.weights).tolist())
    for name, mask in masks.items():
        chosen = planted_positions(mask.indices, material.weights).tolist()
        assert share_in_plant(mask, plant.mask, material) == pytest.approx(len(planted & set(chosen)) / len(chosen))
        assert (set(chosen) == planted) == (name == TRUE)
    assert share_in_plant(masks[ALL], plant.mask, material) == pytest.approx(plant.mask.k / eligible)
    again = masks_of(material, plant, material.model, rows, seed=6)
    assert planted_positions(again[RANDOM].indices, material.weights).tolist() != sorted(
        planted_positions(masks[RANDOM].indices, material.weights).tolist()
    )


def test_what_cannot_be_planted_is_told(material):
    finding = quick(max_steps=2)(material)
    assert "no planted paragraphs were forgotten through the true weights" in finding.sentences[-3]
    assert sum(note.startswith("Not planted: one layer's MLP") for note in finding.notes) == 1
    assert set(finding.tables["known_answer_relearning"]["weights"]) == {NEVER, TRUE}


def test_too_few_rows_are_told_before_anything_is_planted(material, monkeypatch):
    monkeypatch.setattr(settings, "plant", lambda *_, **__: pytest.fail("planted"))
    with pytest.raises(UserError, match=r"needs 7 non-memorized .* lower analysis\.known_answer\.relearn_planted \(now 3\)"):
        quick(relearn_planted=3)(material)


@pytest.mark.parametrize(
    "options",
    [
        {"relearn": 1},
        {"relearn_planted": 1},
        {"relearn_planted": 2.0},
        {"forget_em": -1},
        {"forget_learning_rate": 0},
        {"forget_learning_rate_all": "fast"},
        {"forget_max_steps": 0},
        {"forget_keep_batch": 0},
        {"relearn_steps": []},
        {"relearn_steps": [5, 0]},
        {"relearn_learning_rate": 0},
    ],
)
def test_options_of_relearning_are_checked(options):
    with pytest.raises(UserError, match=rf"analysis\.known_answer\.{next(iter(options))}="):
        KnownAnswer(**options)
