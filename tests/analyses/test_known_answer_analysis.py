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
from memunlearn.analyses.known_answer_charts import charts
from memunlearn.analyses.known_answer_comparison import ATTRIBUTIONS, CONTROLS, Planting, compare
from memunlearn.analyses.known_answer_report import notes, sentences
from memunlearn.errors import UserError
from memunlearn.localization.known_answer import MAGNITUDE, MOVED, RANDOM, Answer
from memunlearn.statistics.retrieval import Retrieval

CONF = Path(__file__).parents[2] / "conf" / "analysis" / "known_answer.yaml"
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
    analysis = quick(planted=2)
    fresh = analysis._fresh(material)
    assert fresh.tolist() == material.non_memorized.tolist()
    for seed in range(5):
        rows = analysis._rows(material, fresh, torch_numpy(seed))
        origins = [set(part.origin) for part in (rows.planted, rows.other, rows.retain)]
        assert list(map(len, origins)) == [2, 2, int(fresh.sum()) - 4] and len(set.union(*origins)) == int(fresh.sum())
    together = dataclasses.replace(material, clusters=torch.tensor([0, 1, 2, 3, 3, 5, 6, 7, 8]))
    single = quick(planted=1)
    assert single._fresh(together).tolist() == [False] * 5 + [True] * 4
    with pytest.raises(UserError, match="needs 5 non-memorized paragraphs"):
        analysis._fresh(dataclasses.replace(material, clusters=torch.tensor([0, 1, 2, 3, 4, 5, 5, 6, 7])))
    for seed in range(5):
        rows = single._rows(together, single._fresh(together), torch_numpy(seed))
        place = {origin: int(cluster) for origin, cluster in zip(together.paragraphs.origin, together.clusters, strict=True)}
        parts = [{place[origin] for origin in part.origin} for part in (rows.planted, rows.other, rows.retain)]
        assert sum(map(len, parts)) == len(set.union(*parts)) and min(map(len, parts)) == 1


def torch_numpy(seed):
    return np.random.default_rng(seed)


def test_the_models_own_output_is_made_new(material):
    own = dataclasses.replace(material, self_generated=True)
    analysis = quick(planted=1)
    rows = analysis._rows(own, analysis._fresh(own), torch_numpy(0))
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


def made_up(values, level=0.1, null=0.02, random=0.01, another=0.015, magnitude=0.012):
    """Plantings of one plant: the attributions' AUPRC by seed. A control is a number, or one a seed."""

    def of(value, seed):
        return Retrieval(value[seed] if isinstance(value, list) else value + 0.0001 * (seed % 3), 0.1, 10, 1000)

    plantings = []
    for seed in range(len(next(iter(values.values())))):
        for at in (None, level):
            found = {name: of(null if at is None else values[name], seed) for name in ATTRIBUTIONS}
            found[RANDOM] = of(random, seed)
            other = {name: of(another, seed) for name in ATTRIBUTIONS}
            outcome = "unplanted" if at is None else "planted"
            scores = (torch.tensor([C]), torch.tensor([0.05]))
            moved = None if at is None else Retrieval(1.0, 1.0, 10, 1000)
            answer = Answer("mlp", at, outcome, 3, *scores, 1.0, found, other, of(magnitude, seed), moved)
            plantings.append(Planting(seed, "layer 1", 10, 1000, answer))
    return plantings


HIGH, LOW = [0.5, 0.6, 0.55, 0.4, 0.5, 0.7, 0.45, 0.5], [0.012, 0.009, 0.015, 0.008, 0.02, 0.011, 0.007, 0.013]


def test_a_verdict_follows_the_corrected_p_values():
    once = [0.9, *LOW[1:]]
    plantings = made_up({"gradient": HIGH, "gradient_x_weight": LOW, "contrastive": once, "fisher": HIGH})
    compared = compare(plantings, ("mlp",), (0.1,))
    assert [one.attribution for one in compared if one.finds] == ["gradient", "fisher"]
    said = sentences(compared, plantings)
    assert "gradient finds one layer's MLP at 1 of 1 tested levels; fisher finds" in said[0]
    assert said[0].endswith("gradient_x_weight and contrastive find none.")
    assert "corrected for all 16 comparisons" in said[0]
    at = f"level 0.1 (planted NLL 0.05 nats per token, EM {C}.0)"
    assert f"AUPRC at {at} over 8 seeds: gradient 0.53 [0.45, 0.6] (another paragraph 0.015; p = 0.0" in said[1]
    assert "|w|, which knows no paragraph, 0.012; how far each weight moved, the ceiling, 1." in said[1]
    assert "95 % intervals over 8 planting seeds" in charts(compared, plantings)[0].caption


@pytest.mark.parametrize("control", ["another", "magnitude", "null", "random"])
def test_what_one_control_finds_as_well_is_no_find(control):
    """Above three of the four is not enough: what the fourth finds without the paragraph, the paragraph does not show."""
    as_well = [value + sign * 0.01 for value, sign in zip(HIGH, (1, -1, 1, -1, 1, -1, -1, 1), strict=True)]
    plantings = made_up(dict.fromkeys(ATTRIBUTIONS, HIGH), **{control: as_well})
    compared = compare(plantings, ("mlp",), (0.1,))
    name = {"null": "unplanted"}.get(control, control)
    assert [one.strongest for one in compared] == [name] * len(ATTRIBUTIONS) and not any(one.finds for one in compared)
    assert all(p < 0.05 for one in compared for other, p in one.p.items() if other != name)
    assert sentences(compared, plantings)[0].startswith("None of the attributions finds any plant")


def test_attributions_plants_levels_and_controls_are_one_family():
    """What stands out by itself does not beside many cells that chance moves as far."""
    draw = np.random.default_rng(0)
    mild = [0.03, 0.018, 0.03, 0.02, 0.017, 0.04, 0.016, 0.02]
    first = made_up({"gradient": mild} | dict.fromkeys(ATTRIBUTIONS[1:], LOW))
    alone = compare(first, ("mlp",), (0.1,))[0]
    others, levels = list(first), (0.2, 0.3, 0.4, 0.5, 0.6)
    for level in levels:
        noise = made_up({name: (0.015 + 0.01 * draw.normal(size=8)).tolist() for name in ATTRIBUTIONS}, level)
        others += [one for one in noise if one.answer.level is not None]
    beside = next(one for one in compare(others, ("mlp",), (*levels, 0.1)) if (one.level, one.attribution) == (0.1, "gradient"))
    assert 1 / 2**8 <= alone.p["another"] < 0.05 < beside.p["another"]


def test_a_figure_draws_models_at_their_own_loss():
    plantings = made_up(dict.fromkeys(ATTRIBUTIONS, [0.1] * 5))
    panel = charts(compare(plantings, ("mlp",), (0.1,)), plantings)[0].panels[0]
    assert all(series.x == [pytest.approx(0.05)] for series in panel.series)


def test_a_level_passed_over_is_told_and_not_scored():
    plantings = made_up(dict.fromkeys(ATTRIBUTIONS, [0.1] * 5))
    first = next(i for i, one in enumerate(plantings) if one.answer.level is not None)
    jumped = dataclasses.replace(
        plantings[first].answer, level=0.2, outcome="passed over", retain_nll=None, found={}, other={}, magnitude=None
    )
    plantings.append(dataclasses.replace(plantings[first], answer=jumped))
    compared = compare(plantings, ("mlp",), (0.2, 0.1))
    assert {(one.level, one.seeds, one.nll is None) for one in compared} == {(0.2, 0, True), (0.1, 5, False)}
    assert "5 training runs, 5 planted models scored: 5 of 5 recite" in sentences(compared, plantings)[-2]
    assert sentences(compared, plantings)[-2].endswith("; 1 level passed over in one step.")
    said = f"Passed over: one layer's MLP (layer 1), seed 0, level 0.2 nats per token: NLL 0.050, EM {C} after 3 steps."
    assert said in notes(plantings, False)


def test_none_finds_them_is_a_result():
    plantings = made_up(dict.fromkeys(ATTRIBUTIONS, LOW))
    assert sentences(compare(plantings, ("mlp",), (0.1,)), plantings)[0].startswith("None of the attributions finds any plant")
