"""What is kept of the base model is equal to what is computed; what is not kept, and where large states lie."""

import dataclasses
from dataclasses import replace

import naive_scoring as naive
import pytest
import torch
from measurement_requests import ALL, ATTRIBUTIONS, METHODS, C, P, tensors_of

from memunlearn.commands.base_measurements import BaseMeasurements
from memunlearn.curvature.measure import measure_curvature
from memunlearn.curvature.passes import Reading
from memunlearn.evaluation.suite import measure, measure_base
from memunlearn.localization.weight_attribution import (
    attribute,
)
from memunlearn.models.components import eligible_weights
from memunlearn.models.text_ids import no_text
from memunlearn.scoring import forward
from memunlearn.scoring.alternatives import find_alternatives
from memunlearn.scoring.hidden_states import hidden_states
from memunlearn.scoring.score import score


def test_kept_scores_are_those_that_are_computed(asked, store):
    expected = tensors_of(score(asked.model, asked.rows, 4))
    for _ in range(2):
        found = asked.of("scores", store)
        assert found.keys() == expected.keys() and all(torch.equal(found[name], expected[name]) for name in expected)
    assert store.reused == ["scores"]


def test_a_kept_baseline_is_the_one_that_is_computed(asked, store, half_trained):
    clusters = torch.tensor([5, 5, 6, 7, 8])
    expected = measure_base(asked.model, asked.rows, clusters, batch_size=4, name="test")
    kept = BaseMeasurements.of(asked.model, store)
    for _ in range(2):
        found = kept.baseline(asked.model, asked.rows, clusters, batch_size=4, name="test")
        assert found.paragraphs is asked.rows and found.clusters is clusters
        assert (
            torch.equal(found.states.hidden, expected.states.hidden)
            and found.states.head.product is expected.states.head.product
        )
        assert torch.equal(found.own.ids, expected.own.ids) and found.own.origin == expected.own.origin
        for name, tensor in tensors_of(expected.scores).items():
            assert torch.equal(getattr(found.scores, name), tensor)
        # And it serves as a reference.
        measured, wanted = (measure(half_trained, baseline, 4) for baseline in (found, expected))
        assert torch.equal(measured.scores.kl, wanted.scores.kl) and torch.equal(measured.own["self_em"], wanted.own["self_em"])
    assert store.reused == ["baselines"]
    assert float(found.select(torch.tensor([4])).scores.nll) == pytest.approx(
        sum(naive.token_nll(asked.model, asked.rows.ids[4], P)) / C, rel=1e-4
    )


def test_kept_hidden_states_are_those_that_are_computed(asked, store):
    expected = hidden_states(asked.model, asked.block, asked.rows, 4)
    for _ in range(2):
        assert torch.equal(asked.of("hidden", store)["hidden"], expected)
    assert store.reused == ["hidden states"] and float(expected.std()) > 0.1


@pytest.mark.parametrize("eigenvalues", [False, True])
def test_kept_curvature_is_the_one_that_is_measured(asked, store, eigenvalues):
    asked = replace(asked, eigenvalues=eigenvalues)
    weights = eligible_weights(asked.model)
    expected = measure_curvature(
        asked.model, weights, asked.rows, Reading("continuation", seed=3, batch_size=4), eigenvalues=eigenvalues
    )
    for _ in range(2):
        found = asked.of("curvature", store)
        assert (found.rows, found.scored) == (expected.rows, expected.scored) == (5, C)
        assert found.factors.keys() == expected.factors.keys() and store.reused == ["curvature"] * _
        for name, factors in expected.factors.items():
            kept = found.factors[name]
            assert type(kept) is type(factors) and kept.output_axis == factors.output_axis
            assert torch.equal(kept.inputs, factors.inputs)
            for one, other in zip(kept.blocks, factors.blocks, strict=True):
                assert type(one) is type(other) and all(
                    torch.equal(getattr(one, field.name), getattr(other, field.name)) for field in dataclasses.fields(one)
                )
        shared = {name: id(known.inputs) for name, known in found.factors.items()}
        q, k = (f"transformer.h.0.attn.attention.{kind}_proj.weight" for kind in "qk")
        assert shared[q] == shared[k] and len(set(shared.values())) == 4 * 2


def test_kept_alternatives_are_those_that_are_computed(asked, store):
    expected = find_alternatives(asked.model, asked.rows, 2, 3, 4)
    for _ in range(2):
        found = asked.of("alternatives", store)
        assert torch.equal(found.paragraphs.ids, expected.paragraphs.ids) and found.paragraphs.origin == asked.rows.origin
        assert all(torch.equal(getattr(found, name), getattr(expected, name)) for name in ("found", "position", "token", "em"))
    assert store.reused == ["alternatives"]


def test_alternatives_without_some_tokens_are_kept_apart(asked, store):
    kept = BaseMeasurements.of(asked.model, store)
    plain = kept.alternatives(asked.model, asked.rows, 2, 3, 4)
    same = kept.alternatives(asked.model, asked.rows, 2, 3, 4, never=no_text(asked.model, None))
    assert store.reused == ["alternatives"] and torch.equal(same.token, plain.token)
    never = sorted(set(range(61)) - {5, 6, 7})
    for _ in range(2):
        others = kept.alternatives(asked.model, asked.rows, 2, 3, 4, never=never)
        assert set(others.token.tolist()) <= {5, 6, 7}
    assert store.reused == ["alternatives"] * 2


@pytest.mark.parametrize("what", ATTRIBUTIONS)
def test_kept_attributions_are_those_that_are_computed(asked, store, what):
    expected = attribute(asked.model, asked.names, asked.rows, asked.retain, method=METHODS[what], batch_size=4, seed=3)
    for _ in range(2):
        found = asked.of(what, store)
        assert tuple(found) == asked.names and all(torch.equal(found[name], expected[name]) for name in expected)
    assert store.reused == ["attributions"]


def test_the_random_numbers_of_a_run_are_the_same_with_and_without_the_cache(asked, store):
    for _ in range(2):
        torch.manual_seed(11)
        expected = torch.get_rng_state()
        for what in ALL:
            asked.of(what, store)
        assert torch.equal(torch.get_rng_state(), expected)


def test_a_trials_own_attribution_is_not_kept(asked, store):
    one = replace(asked, rows=asked.rows.select([1]), clusters=(1,))
    first, second = one.of("gradient", store), one.of("gradient", store)
    assert store.reused == [] and not store.directory.exists()
    assert all(torch.equal(first[name], second[name]) for name in asked.names)


def test_a_users_own_attribution_is_not_kept_unless_it_has_a_version(asked, store):
    def own(model, names, forget, retain, batch_size, seed):
        return {name: torch.zeros(2) for name in names}

    assert BaseMeasurements.of(asked.model, store).attribution(own) is own


def test_empty_sets_are_not_kept(asked, store):
    kept = BaseMeasurements.of(asked.model, store)
    empty = asked.rows.select([])
    assert len(kept.baseline(asked.model, empty, torch.empty(0).long(), batch_size=4, name="near").scores.em) == 0
    assert not store.directory.exists()


def test_large_states_stay_in_files_of_the_store(asked, store, tmp_path, monkeypatch):
    expected = asked.of("baseline", None).states.hidden
    monkeypatch.setattr(forward, "MEMORY_MAP_ABOVE", 0)
    kept = BaseMeasurements.of(asked.model, store)
    for _ in range(2):
        found = kept.baseline(
            asked.model, asked.rows, torch.arange(5), batch_size=4, name="forget", with_own=True, directory=tmp_path / "run"
        )
        assert torch.equal(found.states.hidden, expected)
    assert store.reused == ["baselines"] and not (tmp_path / "run").exists() and list(tmp_path.rglob("*.f32")) == []


def test_without_a_store_large_states_lie_in_the_runs_folder(asked, tmp_path, monkeypatch):
    monkeypatch.setattr(forward, "MEMORY_MAP_ABOVE", 0)
    kept = BaseMeasurements.of(asked.model, None)
    kept.baseline(
        asked.model, asked.rows, torch.arange(5), batch_size=4, name="forget", with_own=True, directory=tmp_path / "run"
    )
    assert len(list((tmp_path / "run").glob("*.f32"))) == 1


def test_another_model_is_refused(asked, store, half_trained):
    kept = BaseMeasurements.of(asked.model, store)
    with pytest.raises(ValueError, match="another model"):
        kept.baseline(half_trained, asked.rows, torch.arange(5), batch_size=4, name="forget")
