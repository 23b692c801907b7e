"""What known_answer counts as found where the test knows the answer: a plant made by hand, and paragraphs never planted."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import tiny_architectures as tiny
import torch

from memunlearn.analyses.known_answer.compare import ATTRIBUTIONS, compare
from memunlearn.analyses.known_answer.measure import Planting
from memunlearn.localization.known_answer import METHODS, RANDOM, Rows, answers_of, find, known_answer, planted_positions
from memunlearn.localization.planting import PlantedState, Recipe, plant_paragraphs
from memunlearn.masks.plants import draw_plant
from memunlearn.models.components import eligible_weights
from memunlearn.paragraphs.paragraph_set import ParagraphSet
from memunlearn.scoring.score import reference_states, score

P, C = 4, 6
MARK, LANE = 7, 3  # a token that only the planted paragraph has, and the dimension of the residual stream that only it uses


def rows_of(seed, rows):
    return ParagraphSet(tiny.some_ids(seed, rows, P + C), P, tuple(f"row {i}" for i in range(rows)))


def without_mark(rows):
    return ParagraphSet(torch.where(rows.ids == MARK, MARK + 1, rows.ids), P, rows.origin)


def planted_by_hand(seed):
    """(base, model, {tensor: indices}): the weights that read the lane are 0 in the base and like all others in the model."""
    model = tiny.tiny_model("gpt2", seed)
    indices = {}
    with torch.no_grad():
        model.transformer.wte.weight[:, LANE] = 0
        model.transformer.wte.weight[MARK, LANE] = 5
        model.transformer.wpe.weight[:, LANE] = 0
        for number, block in enumerate(model.transformer.h):
            for out in (block.attn.c_proj, block.mlp.c_proj):
                out.weight[:, LANE] = 0
                out.bias[LANE] = 0
            for name, reads in (("attn.c_attn", block.attn.c_attn), ("mlp.c_fc", block.mlp.c_fc)):
                width = reads.weight.shape[1]
                indices[f"transformer.h.{number}.{name}.weight"] = LANE * width + torch.arange(width)
    base = copy.deepcopy(model)
    with torch.no_grad():
        for name, flat in indices.items():
            base.get_parameter(name).flatten()[flat] = 0
    return base, model, indices


def plantings_of(made, weights, plant="by hand"):
    """made: (seed, base's answer, planted model's answer, truth)."""
    eligible = sum(weight.size for weight in weights)
    return [Planting(seed, "", len(truth), eligible, one) for seed, *answers, truth in made for one in answers]


def test_a_plant_made_by_hand_is_found_by_the_attribution_that_can_see_it():
    """gradient x weight: the weights that read the lane are 0 in the base, and nothing else is in the lane of other text."""
    made = []
    for seed in range(8):
        base, model, indices = planted_by_hand(seed)
        weights = eligible_weights(model)
        marked = rows_of(seed, 1).ids
        marked[:, ::2] = MARK
        planted = ParagraphSet(marked, P, ("planted",))
        rows = Rows(planted, without_mark(rows_of(seed + 100, 1)), without_mark(rows_of(seed + 200, 4)))
        truths = {"by hand": planted_positions(indices, weights)}
        scores = score(model, planted)
        states = (
            (None, PlantedState(level=0.1, outcome="unplanted", model=base, steps=0, em=scores.em, nll=scores.nll)),
            (0.1, PlantedState(level=0.1, outcome="planted", model=model, steps=5, em=scores.em, nll=scores.nll)),
        )
        answers = [
            answers_of(state, level, truths, base=base, weights=weights, rows=rows, batch_size=4, seed=seed)["by hand"]
            for level, state in states
        ]
        made.append((seed, *answers, truths["by hand"]))
    compared = {one.attribution: one for one in compare(plantings_of(made, weights), ("by hand",), (0.1,))}
    found = compared["gradient_x_weight"]
    assert found.finds and found.planted["auprc"].value > 0.07
    assert found.ceiling["auprc"].value == 1.0
    assert max(found.controls[name]["auprc"].value for name in found.controls) < 0.05
    # The base model's gradient is as large in the lane: planting made no difference to it.
    assert not compared["gradient"].finds and compared["gradient"].strongest == "unplanted"


RECIPE = Recipe(levels=(1.4,), learning_rate=3e-2, max_steps=80, keep_weight=0.1, keep_batch=2)
LOOKED_FOR = 6


@pytest.mark.slow
def test_a_paragraph_that_was_never_planted_is_hardly_ever_found():
    """Planted models, in each of which other paragraphs are looked for: 100 analyses of eight of them, two paragraphs each."""
    model = tiny.tiny_model("gpt_neo")
    weights = eligible_weights(model)
    of_paragraphs = {name: method for name, method in METHODS.items() if name != RANDOM}
    pool = []
    for seed in range(30):
        planted, others, retain = rows_of(3 * seed + 1, 1), rows_of(3 * seed + 2, LOOKED_FOR), rows_of(3 * seed + 3, 5)
        reference = reference_states(model, retain)[1]
        indices = draw_plant("mlp", weights, 0.1, seed).mask.indices
        truth = planted_positions(indices, weights)
        rows = Rows(planted, others.select([0]), retain)
        null, answer = known_answer(
            model, weights, {"mlp": indices}, rows=rows, reference=reference, recipe=RECIPE, batch_size=8, seed=seed
        )
        if not answer.is_planted:
            continue
        state_model = next(_models(model, indices, rows, reference, seed))
        looked = [
            tuple(
                find(
                    judged,
                    weights,
                    {"mlp": truth},
                    paragraphs=others.select([row]),
                    retain=retain,
                    batch_size=8,
                    seed=seed,
                    methods=of_paragraphs,
                )["mlp"]
                for judged in (model, state_model)
            )
            for row in range(LOOKED_FOR)
        ]
        pool.append((null, answer, truth, looked))
    assert len(pool) >= 20
    false = 0
    for number in range(100):
        rng = np.random.default_rng(number)
        made = []
        for seed, place in enumerate(rng.permutation(len(pool))[:8]):
            null, answer, truth, looked = pool[place]
            one, other = rng.permutation(LOOKED_FOR)[:2]
            before = replace(null, found=looked[one][0] | {RANDOM: null.found[RANDOM]}, other=looked[other][0])
            after = replace(answer, found=looked[one][1] | {RANDOM: answer.found[RANDOM]}, other=looked[other][1])
            made.append((seed, before, after, truth))
        false += any(one.finds for one in compare(plantings_of(made, weights), ("mlp",), RECIPE.levels))
    assert false <= 9
    # What the test would say if nothing but chance and the base model were asked: most attributions "find" it.
    assert (
        np.mean([after["gradient"].auprc - null.found["gradient"].auprc for null, _, _, looked in pool for _, after in looked])
        > 0
    )
    assert set(ATTRIBUTIONS) == set(of_paragraphs)


def _models(model, indices, rows, reference, seed):
    for state in plant_paragraphs(
        model, indices, rows.planted, keep=rows.retain, reference=reference, recipe=RECIPE, seed=seed
    ):
        yield state.model
