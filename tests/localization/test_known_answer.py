"""What the attributions find of a plant, against attributions whose answer is known."""

import numpy as np
import pytest
import tiny_architectures as tiny
import torch

from memunlearn.errors import UserError
from memunlearn.localization.known_answer import METHODS, RANDOM, Rows, find, known_answer, planted_positions
from memunlearn.localization.planting import Recipe, plant_paragraphs
from memunlearn.localization.weight_attribution import nll_gradient
from memunlearn.masks.plants import draw_plant
from memunlearn.models import eligible_weights
from memunlearn.paragraphs.paragraph_set import ParagraphSet
from memunlearn.scoring.score import reference_states, score
from memunlearn.statistics.retrieval import Ranking

P, C = 4, 6
RECIPE = Recipe(levels=(1.6, 1.2), learning_rate=3e-2, max_steps=60, keep_weight=0.1, keep_batch=2)


def rows_of(seed, rows):
    return ParagraphSet(tiny.some_ids(seed, rows, P + C), P, tuple(f"row {i}" for i in range(rows)))


NEW, RETAIN, OTHER = rows_of(1, 1), rows_of(2, 5), rows_of(3, 1)


def plants_of(weights, *names):
    return {name: draw_plant(name, weights, 0.1, 1).mask.indices for name in names}


def answers_of(model, plants, recipe=RECIPE):
    reference = reference_states(model, RETAIN)[1]
    return list(
        known_answer(
            model,
            eligible_weights(model),
            plants,
            rows=Rows(NEW, OTHER, RETAIN),
            reference=reference,
            recipe=recipe,
            batch_size=2,
            seed=5,
        )
    )


@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_an_oracle_finds_everything_and_its_opposite_nothing(family):
    model = tiny.tiny_model(family)
    weights = eligible_weights(model)
    plants = plants_of(weights, "scattered", "mlp", "head")
    truths = {name: planted_positions(indices, weights) for name, indices in plants.items()}

    def oracle(indices, sign):
        def scores(asked):
            made = {name: torch.zeros(asked.model.get_parameter(name).shape) for name in asked.names}
            for name, flat in indices.items():
                made[name].flatten()[slice(None) if flat is None else flat] = sign
            return made

        return scores

    for name, indices in plants.items():
        methods = {"oracle": oracle(indices, 1.0), "opposite": oracle(indices, -1.0)}
        found = find(
            model, weights, {name: truths[name]}, paragraphs=NEW, retain=RETAIN, batch_size=2, seed=0, methods=methods
        )[name]
        assert (found["oracle"].auprc, found["oracle"].recall_at_k) == (1.0, 1.0)
        k = found["oracle"].k
        assert k == len(truths[name]) and found["oracle"].of == sum(weight.size for weight in weights)
        assert found["opposite"].recall_at_k == 0 and found["opposite"].auprc == pytest.approx(
            k / found["opposite"].of
        )  # all ties


def test_gradient_is_ranked_as_it_is():
    model = tiny.tiny_model("gpt2")
    weights = eligible_weights(model)
    names = [weight.name for weight in weights]
    truth = planted_positions(plants_of(weights, "head")["head"], weights)
    found = find(model, weights, {"head": truth}, paragraphs=NEW, retain=RETAIN, batch_size=2, seed=0)["head"]
    assert set(found) == set(METHODS)
    flat = torch.cat([nll_gradient(model, names, NEW, 2)[name].abs().flatten() for name in names])
    top = set(flat.topk(len(truth)).indices.tolist())
    assert found["gradient"].recall_at_k == pytest.approx(len(top & set(truth.tolist())) / len(truth))


def test_random_scores_are_at_chance():
    model = tiny.tiny_model("gpt_neo")
    weights = eligible_weights(model)
    truth = planted_positions(plants_of(weights, "mlp")["mlp"], weights)
    random = {RANDOM: METHODS[RANDOM]}
    found = [
        find(model, weights, {"mlp": truth}, paragraphs=NEW, retain=RETAIN, batch_size=2, seed=seed, methods=random)["mlp"][
            RANDOM
        ]
        for seed in range(5)
    ]
    assert np.mean([one.auprc for one in found]) == pytest.approx(found[0].auprc_by_chance, rel=0.1)
    assert np.mean([one.recall_at_k for one in found]) == pytest.approx(found[0].recall_by_chance, rel=0.1)
    assert found[0] != found[1]


def test_null_and_levels_of_every_plant():
    model = tiny.tiny_model("gpt_neo")
    answers = answers_of(model, plants_of(eligible_weights(model), "scattered", "mlp"))
    assert [(one.plant, one.level) for one in answers] == [
        (plant, level) for plant in ("scattered", "mlp") for level in (None, 1.6, 1.2)
    ]
    base = score(model, NEW)
    for one in answers:
        assert set(one.found) == set(METHODS) and one.retain_nll > 0
        if one.level is None:
            assert torch.equal(one.em, base.em) and torch.equal(one.nll, base.nll) and one.outcome == "unplanted"
        else:
            assert one.is_planted and 1.2 * (one.level == 1.6) < float(one.nll.mean()) <= one.level
            assert one.level == 1.6 or one.em.tolist() == [C]
    unplanted, planted = answers[0].found, answers[2].found
    assert all(planted[name] != unplanted[name] for name in METHODS)


def test_every_answer_is_that_of_its_own_model_and_paragraphs():
    """The null is of the planted paragraphs in the base model; the controls are of other paragraphs, or of none."""
    model = tiny.tiny_model("gpt_neo")
    weights = eligible_weights(model)
    plants = plants_of(weights, "scattered", "mlp")
    truths = {name: planted_positions(indices, weights) for name, indices in plants.items()}
    reference = reference_states(model, RETAIN)[1]
    states = {
        plant: list(plant_paragraphs(model, indices, NEW, keep=RETAIN, reference=reference, recipe=RECIPE, seed=5))
        for plant, indices in plants.items()
    }
    methods = {name: METHODS[name] for name in ("gradient", "gradient_x_weight", "contrastive")}
    names = [weight.name for weight in weights]

    def flat(made):
        return torch.cat([made[name].flatten() for name in names]).numpy()

    for answer in answers_of(model, plants):
        level = {state.level: state.model for state in states[answer.plant]}
        judged = model if answer.level is None else level[answer.level]
        mine = {answer.plant: truths[answer.plant]}
        of_planted, of_other = (
            find(judged, weights, mine, paragraphs=rows, retain=RETAIN, batch_size=2, seed=0, methods=methods)[answer.plant]
            for rows in (NEW, OTHER)
        )
        for name in methods:
            assert answer.found[name] == of_planted[name] and answer.other[name] == of_other[name]
            assert of_planted[name] != of_other[name]
        assert set(answer.other) == set(METHODS) - {RANDOM}
        now = {name: judged.get_parameter(name).detach() for name in names}
        truth = truths[answer.plant]
        assert answer.magnitude == Ranking(flat({name: now[name].abs() for name in names})).find(truth)
        if answer.level is None:
            assert answer.moved is None
        else:
            moved = flat({name: (now[name] - model.get_parameter(name).detach()).abs() for name in names})
            assert answer.moved == Ranking(moved).find(truth) and answer.moved.auprc > 0.95
            assert (moved[np.setdiff1d(np.arange(len(moved)), truth)] == 0).all()


def test_what_was_not_planted_is_not_scored():
    model = tiny.tiny_model("gpt_neo")
    weights = eligible_weights(model)
    answers = answers_of(model, {"few": {weights[0].name: torch.tensor([1, 2])}}, Recipe((0.5,), 1e-2, 3, 0.1, 2))
    assert answers[0].found and answers[0].level is None
    assert not answers[1].is_planted and not answers[1].found and answers[1].retain_nll is None and answers[1].steps == 3
    assert not answers[1].other and answers[1].magnitude is answers[1].moved is None


def test_scores_that_are_no_numbers_are_told_with_their_attribution():
    model = tiny.tiny_model("gpt2")
    weights = eligible_weights(model)
    truth = planted_positions(plants_of(weights, "head")["head"], weights)

    def broken(asked):
        scores = {name: torch.ones(asked.model.get_parameter(name).shape) for name in asked.names}
        scores[asked.names[1]].flatten()[3] = float("nan")
        return scores

    with pytest.raises(UserError, match=r"1 of [\d,]+ scores of the attribution broken are NaN"):
        find(model, weights, {"head": truth}, paragraphs=NEW, retain=RETAIN, batch_size=2, seed=0, methods={"broken": broken})
