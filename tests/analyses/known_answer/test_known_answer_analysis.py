"""analysis=known_answer on a tiny model: what it plants, what it says, and what it refuses."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf
from tiny_material import C, tiny_material

from memunlearn.analyses.known_answer import KnownAnswer
from memunlearn.analyses.known_answer.compare import ATTRIBUTIONS, CONTROLS
from memunlearn.analyses.known_answer.measure import draw_rows, fresh_rows
from memunlearn.errors import UserError
from memunlearn.localization.known_answer import MAGNITUDE, MOVED, RANDOM

CONF = Path(__file__).parents[3] / "conf" / "analysis" / "known_answer.yaml"
QUICK = {
    "plants": ("mlp",),
    "seeds": 2,
    "planted": 1,
    "levels": (1.8, 1.4),
    "learning_rate": 3e-2,
    "max_steps": 80,
    "keep_weight": 0.1,
}


def quick(**options):
    return KnownAnswer(**(QUICK | options))


def test_config_has_every_option_with_its_default():
    config = OmegaConf.load(CONF)
    assert instantiate(config) == KnownAnswer(**{k: v for k, v in config.items() if k != "_target_"})
    fields = {field.name: field.default for field in dataclasses.fields(KnownAnswer)}
    made = {key: tuple(value) if OmegaConf.is_list(value) else value for key, value in config.items() if key != "_target_"}
    assert made == fields
    assert CONF.read_text().startswith("# @package analysis.known_answer\n")


@pytest.fixture(scope="module")
def material():
    return tiny_material()


@pytest.fixture(scope="module")
def finding(material):
    return quick(plants=("mlp", "scattered"), fraction=0.1)(material)


def test_table_has_a_row_for_everything(finding):
    table = finding.tables["known_answer"]
    rows = [dict(zip(table, values, strict=True)) for values in zip(*table.values(), strict=True)]
    looked = [
        *((name, which) for name in ATTRIBUTIONS for which in ("planted", "another")),
        (RANDOM, "none"),
        (MAGNITUDE, "none"),
    ]
    assert len(rows) == 2 * 2 * (3 * len(looked) + 2)
    keys = {(row["plant"], row["seed"], row["level"], row["attribution"], row["paragraph"]) for row in rows}
    assert {key[3:] for key in keys if key[2] is None} == set(looked)
    assert {key[3:] for key in keys if key[2] == 1.4} == {*looked, (MOVED, "none")}
    assert len(keys) == len(rows)
    for row in rows:
        assert row["state"] == ("unplanted" if row["level"] is None else "planted")
        assert row["recall_by_chance"] == row["k"] / row["eligible"] < row["auprc_by_chance"]
        assert 0 <= row["recall_at_k"] <= 1 and 0 < row["auprc"] <= 1
        if row["level"] is not None:
            assert 1.4 * (row["level"] == 1.8) < row["planted_nll"] <= row["level"] and row["steps"] > 0
            assert row["planted_em_lowest"] == C or row["level"] == 1.8
        else:
            assert row["planted_em"] <= C / 5 and row["steps"] == 0
    json.dumps([finding.tables, finding.numbers])


def test_numbers_are_means_over_seeds_paired(finding):
    table = finding.tables["known_answer"]
    rows = [dict(zip(table, values, strict=True)) for values in zip(*table.values(), strict=True)]

    def auprc(level, *looked):
        return {
            r["seed"]: r["auprc"]
            for r in rows
            if (r["plant"], r["level"], r["attribution"], r["paragraph"]) == ("mlp", level, *looked)
        }

    planted, null = auprc(1.4, "fisher", "planted"), auprc(None, "fisher", "planted")
    controls = {
        "unplanted": null,
        "another": auprc(1.4, "fisher", "another"),
        "random": auprc(1.4, "random", "none"),
        "magnitude": auprc(1.4, "magnitude", "none"),
    }
    level = finding.numbers["plants"]["mlp"]["levels"]["1.4"]
    numbers = level["attributions"]["fisher"]
    assert level["planted"] == 2 and level["em"] == C and level["passed_over"] == level["not_planted"] == 0
    assert numbers["auprc"] == pytest.approx(sum(planted.values()) / 2)
    assert set(controls) == set(CONTROLS)
    for name, values in controls.items():
        assert numbers[f"auprc_{name}"] == pytest.approx(sum(values.values()) / 2)
        assert numbers[f"auprc_over_{name}"] == pytest.approx(sum(planted[s] - values[s] for s in planted) / 2)
        assert numbers["p"][name] is None
    assert (
        level["ceiling"]["auprc"] == pytest.approx(sum(auprc(1.4, "moved", "none").values()) / 2)
        and level["ceiling"]["auprc"] > 0.9
    )
    assert numbers["auprc_ci"] is None and numbers["finds"] is None


def test_two_seeds_are_no_verdict(finding):
    assert finding.sentences[0].startswith("Too few plantings for a verdict")
    assert any("does not choose" in sentence for sentence in finding.sentences)
    assert "4 training runs, 8 planted models scored: 4 of 4 recite every planted paragraph" in finding.sentences[-2]
    assert (finding.numbers["training_runs"], finding.numbers["states_scored"]) == (4, 8)
    assert {chart.name for chart in finding.charts} == {"known_answer_auprc", "known_answer_recall_at_k"}
    assert "too few seeds" in finding.charts[0].caption


def test_the_same_seed_gives_the_same_numbers(material):
    one, same = (quick(seeds=1)(material).tables for _ in range(2))
    assert one == same
    other = quick(seeds=1)(dataclasses.replace(material, seed=1)).tables
    assert other != one


def test_the_base_model_is_left_as_it_is(material):
    before = {name: value.clone() for name, value in material.model.state_dict().items()}
    flags = [parameter.requires_grad for parameter in material.model.parameters()]
    quick(seeds=1)(material)
    assert all(torch.equal(value, before[name]) for name, value in material.model.state_dict().items())
    assert [parameter.requires_grad for parameter in material.model.parameters()] == flags


def test_what_cannot_be_planted_is_told(material):
    finding = quick(seeds=1, max_steps=2)(material)
    assert finding.sentences[0].startswith("No planted model could be scored")
    table = finding.tables["known_answer"]
    failed = [i for i, state in enumerate(table["state"]) if state == "lowest level not reached"]
    assert len(failed) == 2 * (2 * len(ATTRIBUTIONS) + 3) and all(
        table["auprc"][i] is None and table["steps"][i] == 2 for i in failed
    )
    assert sum(note.startswith("Lowest level not reached: one layer's MLP (layer") for note in finding.notes) == 1
    level = finding.numbers["plants"]["mlp"]["levels"]["1.4"]
    assert (level["planted"], level["not_planted"], level["em"]) == (0, 1, None)
    assert "1 training run, 0 planted models scored: 0 of 1 recite" in finding.sentences[-2]
    assert finding.sentences[-2].endswith("the other runs are not scored at any level.")
    json.dumps(finding.numbers)


def test_planted_rows_are_non_memorized_and_apart_from_retain(material):
    fresh = fresh_rows(material, 2)
    assert fresh.tolist() == material.non_memorized.tolist()
    for seed in range(5):
        rows = draw_rows(material, fresh, 2, 24, np.random.default_rng(seed))
        origins = [set(part.origin) for part in (rows.planted, rows.other, rows.retain)]
        assert list(map(len, origins)) == [2, 2, int(fresh.sum()) - 4] and len(set.union(*origins)) == int(fresh.sum())
    together = dataclasses.replace(material, clusters=torch.tensor([0, 1, 2, 3, 3, 5, 6, 7, 8]))
    assert fresh_rows(together, 1).tolist() == [False] * 5 + [True] * 4
    with pytest.raises(UserError, match="needs 5 non-memorized paragraphs"):
        fresh_rows(dataclasses.replace(material, clusters=torch.tensor([0, 1, 2, 3, 4, 5, 5, 6, 7])), 2)
    for seed in range(5):
        rows = draw_rows(together, fresh_rows(together, 1), 1, 24, np.random.default_rng(seed))
        place = {origin: int(cluster) for origin, cluster in zip(together.paragraphs.origin, together.clusters, strict=True)}
        parts = [{place[origin] for origin in part.origin} for part in (rows.planted, rows.other, rows.retain)]
        assert sum(map(len, parts)) == len(set.union(*parts)) and min(map(len, parts)) == 1


def test_the_models_own_output_is_made_new(material):
    own = dataclasses.replace(material, self_generated=True)
    rows = draw_rows(own, fresh_rows(own, 1), 1, 24, np.random.default_rng(0))
    whole = {tuple(ids) for ids in own.paragraphs.ids.tolist()}
    for new in (rows.planted, rows.other):
        assert len(new) == 1 and not {tuple(ids) for ids in new.ids.tolist()} & whole
        assert {tuple(ids) for ids in new.continuations.tolist()} <= {
            tuple(ids) for ids in own.paragraphs.continuations.tolist()
        }
    assert rows.planted.ids.tolist() != rows.other.ids.tolist()


@pytest.mark.parametrize("memorized, others", [(3, 0), (0, 2), (1, 0)])
def test_too_few_non_memorized_rows(memorized, others):
    with pytest.raises(UserError, match="analysis.known_answer.planted"):
        quick()(tiny_material(memorized=memorized, others=others))


def test_no_memorized_row_is_needed():
    finding = quick(seeds=1)(tiny_material(memorized=0, others=4))
    assert set(finding.tables["known_answer"]["state"]) == {"planted", "unplanted"}


@pytest.mark.parametrize(
    "options",
    [
        {"seeds": 0},
        {"planted": 1.5},
        {"retain": 0},
        {"fraction": 0},
        {"fraction": True},
        {"levels": []},
        {"levels": [0.1, -1]},
        {"levels": 0.1},
        {"plants": ["neuron"]},
        {"plants": "mlp"},
        {"learning_rate": 0},
        {"keep_weight": -1},
        {"max_steps": 0},
        {"keep_batch": 0},
    ],
)
def test_options_are_checked(options):
    with pytest.raises(UserError, match=rf"analysis\.known_answer\.{next(iter(options))}"):
        KnownAnswer(**options)
