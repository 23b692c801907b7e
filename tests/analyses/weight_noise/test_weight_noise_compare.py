"""Top weights of memorized text against those of other text: what is compared, and how often nothing is taken for something."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch
from tiny_material import tiny_material

from memunlearn.analyses.weight_noise import WeightNoise
from memunlearn.analyses.weight_noise.compare import Rises, specificity
from memunlearn.masks import select_random
from memunlearn.scoring.greedy import own_continuations
from memunlearn.scoring.score import score

SCALES = np.array([1.0, 2.0, 4.0])
NULL_SEEDS, FALSE_AT_MOST = 100, 9


def rises(draws, rows=20, seeds=5, dose=1.0, extra=0.0, spread=0.3):
    """Harm that grows with the noise, twice as much to memorized text, with the top weights `dose` times as strong."""
    kinds = np.repeat([0, 1, 2], rows)
    read = draws.random((seeds, 3 * rows)) < 0.5
    of_row = np.where(kinds == 0, 2.0, 1.0) + spread * draws.normal(size=3 * rows)
    harm = SCALES[:, None, None] * (of_row + spread * draws.normal(size=(2, seeds, 3 * rows)))[:, None]
    top, control = dose * harm[0] + extra * (kinds == 0), harm[1]
    return Rises(
        top=top,
        control=control,
        read=read,
        scales=SCALES,
        memorized=kinds == 0,
        non_memorized=kinds == 1,
        own=kinds == 2,
        clusters=np.r_[np.arange(2 * rows), rows + np.arange(rows)],
    )


def naive(given, place):
    """The same, one row and seed at a time: with the same noise, and at the same harm."""

    def harm_of(values):
        return np.mean(
            [np.mean([values[r, i] for i in range(len(read)) if given.own[i] and read[i]]) for r, read in enumerate(given.read)]
        )

    alike = np.interp(harm_of(given.top[place]), [0.0, *map(harm_of, given.control)], [0.0, *SCALES])
    found = []
    for scale in (SCALES[place], alike):
        differences = {}
        for number, read in enumerate(given.read):
            for i in range(len(read)):
                if read[i] and not given.own[i]:
                    there = np.interp(scale, [0.0, *SCALES], [0.0, *given.control[:, number, i]])
                    differences.setdefault(i, {})[number] = given.top[place, number, i] - there
        groups = [{i: d for i, d in differences.items() if group[i]} for group in (given.memorized, given.non_memorized)]
        value = np.subtract(*(np.mean([np.mean(list(d.values())) for d in group.values()]) for group in groups))
        by_seed = [
            np.subtract(*(np.mean([d[r] for d in group.values() if r in d]) for group in groups))
            for r in range(len(given.read))
        ]
        found.append((scale, value, by_seed))
    return found


def test_it_is_the_naive_loop():
    given = rises(np.random.default_rng(3), dose=0.7, extra=0.4)
    found = specificity(given, 1, seed=0)
    assert found.scale == 2.0
    for contrast, (scale, value, by_seed) in zip((found.same_noise, found.same_harm), naive(given, 1), strict=True):
        assert contrast.control_scale == pytest.approx(scale) and contrast.difference.value == pytest.approx(value)
        np.testing.assert_allclose(contrast.by_seed, by_seed)
    memorized = [given.top[1, r, given.memorized & read].mean() for r, read in enumerate(given.read)]
    assert found.top[0] == pytest.approx(np.mean(memorized))


def test_rows_that_are_not_read_do_not_count():
    given = rises(np.random.default_rng(3))
    spoilt = [np.where(given.read, values, 1e6) for values in (given.top, given.control)]
    assert specificity(replace(given, top=spoilt[0], control=spoilt[1]), 1, 0) == specificity(given, 1, 0)


def test_a_scale_whose_harm_the_control_never_does_gives_way_to_a_smaller_one():
    given = rises(np.random.default_rng(1), dose=1.7)
    assert specificity(given, 2, 0).scale == 2.0
    assert specificity(replace(given, top=given.top + 50), 2, 0) is None
    harmless = specificity(replace(given, top=np.where(given.own, -0.1, given.top)), 2, 0)
    assert (harmless.scale, harmless.same_harm.control_scale, harmless.same_harm.control) == (4.0, 0.0, (0.0, 0.0))
    broken = given.top.copy()
    broken[1:, 0, np.flatnonzero(given.read[0])[0]] = np.nan
    assert specificity(replace(given, top=broken), 2, 0).scale == 1.0


def test_of_several_noises_that_do_the_same_harm_the_nearest_is_taken():
    """The control's harm rises to 3 and falls again: 2 is done at 0.67, and at 3 between the last two scales."""
    given = rises(np.random.default_rng(2))
    flat = np.ones_like(given.top)
    harms = np.array([3.0, 3.0, 1.0])[:, None, None]
    given = replace(given, top=2.0 * flat, control=harms * flat)
    assert [specificity(given, place, 0).same_harm.control_scale for place in range(3)] == pytest.approx([2 / 3, 3.0, 3.0])


def test_stronger_noise_on_fragile_text_is_no_finding_and_a_difference_is():
    for dose in (0.5, 1.5):
        signs = [specificity(rises(np.random.default_rng(k), dose=dose), 1, k).sign for k in range(15)]
        assert sum(map(abs, signs)) <= 3, (dose, signs)
    for sign in (1, -1):
        signs = [specificity(rises(np.random.default_rng(k), dose=1.5, extra=sign * 2.0), 1, k).sign for k in range(5)]
        assert signs == [sign] * 5


def test_fewer_than_five_seeds_or_one_cluster_are_not_enough():
    assert not specificity(rises(np.random.default_rng(0), seeds=4, extra=5.0), 1, 0).enough
    given = rises(np.random.default_rng(0), extra=5.0)
    one = replace(given, clusters=np.where(given.memorized, 0, 1 + given.clusters))
    assert not specificity(one, 1, 0).enough and specificity(one, 1, 0).sign == 0


def memorizing(material, batches, steps=60):
    """The material, its model trained on so many batches of rows."""
    optimizer = torch.optim.AdamW(material.model.parameters(), lr=1e-2)
    for ids in itertools.islice(batches, steps):
        optimizer.zero_grad()
        material.model(ids, labels=ids).loss.backward()
        optimizer.step()
    material.model.zero_grad()
    return material


def labelled(seed, rows=20):
    """Random rows of an untrained model, half of them called memorized."""
    material = tiny_material(memorized=0, others=2 * rows, seed=seed)
    first = torch.arange(2 * rows) < rows
    return replace(material, memorized=first, non_memorized=~first)


QUICK = WeightNoise(fraction=0.02, scales=[2, 4, 8])


def says(finding):
    return (finding.numbers["against_control"] or {}).get("memorized_suffers")


@pytest.mark.slow
def test_where_there_is_nothing_to_find_it_is_rarely_found():
    """Text that is called memorized for nothing."""
    said = [says(QUICK(labelled(seed))) for seed in range(NULL_SEEDS)]
    assert sum(one in ("more", "less") for one in said) <= FALSE_AT_MOST, said
    assert said.count(None) < NULL_SEEDS / 2


@pytest.mark.slow
def test_fragile_text_is_not_taken_for_text_with_weights_of_its_own(monkeypatch):
    """Text that was learned by heart suffers far more than other text, here from noise on two random choices of weights."""

    def anywhere(scores, weights, fraction, filter):
        return select_random(weights, fraction, filter, seed=int(draws.integers(2**31)))

    monkeypatch.setattr("memunlearn.analyses.weight_noise.measure.select_top", anywhere)
    said = []
    for seed in range(NULL_SEEDS):
        draws = np.random.default_rng(seed)
        material = labelled(seed)
        rows = material.paragraphs.ids[material.memorized]
        said.append(says(QUICK(remeasured(memorizing(material, itertools.repeat(rows))))))
    assert sum(one in ("more", "less") for one in said) <= FALSE_AT_MOST, said
    assert said.count(None) < NULL_SEEDS / 2


def remeasured(material):
    """With the scores and the own text of the model as it is now."""
    model = material.model
    return replace(
        material,
        scores=score(model, material.paragraphs),
        own=lambda rows: own_continuations(model, rows, score(model, rows).em),
    )


@pytest.mark.slow
def test_text_with_weights_of_its_own_is_found():
    """Memorized text is of other words than all other text, so that other weights carry it."""
    said = []
    for seed in range(10):
        material, generator = labelled(seed), torch.Generator().manual_seed(seed)
        ids = material.paragraphs.ids
        ids[:20], ids[20:] = 1 + ids[:20] % 30, 31 + ids[20:] % 30

        batches = with_others(ids[:20], generator)
        said.append(says(replace(QUICK, fraction=0.01, scales=[0.5, 1, 2])(remeasured(memorizing(material, batches, 100)))))
    assert said.count("more") >= 9, said


def with_others(learned, generator):
    """These rows, each time with other ones of the other words."""
    while True:
        yield torch.cat([learned, 31 + torch.randint(30, learned.shape, generator=generator)])
