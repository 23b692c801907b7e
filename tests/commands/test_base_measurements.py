"""What is kept of the base model: equal to what is computed; every part of a key counts, and nothing else does."""

import contextlib
import copy
import dataclasses
from dataclasses import replace

import naive_scoring as naive
import pytest
import torch

from memunlearn.caching.store import Store
from memunlearn.commands import base_measurements
from memunlearn.commands.base_measurements import BaseMeasurements
from memunlearn.curvature.measure import measure_curvature
from memunlearn.curvature.passes import Reading
from memunlearn.evaluation.suite import measure, measure_base
from memunlearn.localization.weight_attribution import (
    Contrastive,
    Fisher,
    Gradient,
    GradientTimesWeight,
    Preconditioned,
    attribute,
)
from memunlearn.models.components import eligible_weights
from memunlearn.scoring import forward
from memunlearn.scoring.alternatives import find_alternatives
from memunlearn.scoring.hidden_states import hidden_states
from memunlearn.scoring.score import score

P, C = 7, 9
METHODS = {
    "gradient": Gradient(),
    "times_weight": GradientTimesWeight(),
    "contrastive": Contrastive(),
    "fisher": Fisher(),
    "kfac": Preconditioned(),
}
ATTRIBUTIONS = tuple(METHODS)
ALL = ("scores", "baseline", "hidden", "alternatives", "curvature", *ATTRIBUTIONS)


@dataclasses.dataclass(frozen=True)
class Asked:
    """One request, of any kind."""

    model: torch.nn.Module
    rows: object
    retain: object
    names: tuple
    seed: int = 3
    batch_size: int = 4
    replacements: int = 2
    with_own: bool = True
    method: object = None
    clusters: tuple = (0, 1, 2, 3, 4)
    block: str = "transformer.h.0"
    name: str = "forget"
    positions: str = "continuation"
    eigenvalues: bool = False

    def of(self, what, store):
        """The tensors that this kind of measurement gives."""
        kept = BaseMeasurements.of(self.model, store)
        if what == "scores":
            return tensors_of(kept.scores(self.rows, self.batch_size, self.name))
        if what == "baseline":
            clusters = torch.tensor(self.clusters)
            return kept.baseline(
                self.model, self.rows, clusters, batch_size=self.batch_size, name=self.name, with_own=self.with_own
            )
        if what == "alternatives":
            return kept.alternatives(self.model, self.rows, self.replacements, self.seed, self.batch_size)
        if what == "curvature":
            weights = [weight for weight in eligible_weights(self.model) if weight.name in self.names]
            how = Reading(self.positions, batch_size=self.batch_size, seed=self.seed)
            return kept.curvature(self.model, weights, self.rows, how, eigenvalues=self.eigenvalues)
        if what == "hidden":
            return {"hidden": kept.hidden_states(self.model, self.block, self.rows, self.batch_size)}
        method = kept.attribution(self.method or METHODS[what])
        return attribute(
            self.model, self.names, self.rows, self.retain, method=method, batch_size=self.batch_size, seed=self.seed
        )


def tensors_of(scores):
    return scores.tensors()


@pytest.fixture
def asked(reciting, sets):
    names = tuple(weight.name for weight in eligible_weights(reciting))
    return Asked(reciting, sets.forget, sets.retain_train, names)


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "store")


def with_change(model, change):
    other = copy.deepcopy(model)
    with torch.no_grad():
        change(other)
    return other


def one_bit(model):
    weight = model.get_parameter("transformer.h.1.mlp.c_fc.weight")
    weight.view(torch.int32)[3, 2] ^= 1


def other_token(rows):
    ids = rows.ids.clone()
    ids[2, P + C - 1] += 1
    return replace(rows, ids=ids)


# What is changed, in which kinds of entry it counts.
CHANGES = {
    "one bit of a weight": (ALL, lambda a: replace(a, model=with_change(a.model, one_bit))),
    "an attention window": (
        ALL,
        lambda a: replace(a, model=with_change(a.model, lambda m: setattr(m.config, "window_size", 5))),
    ),
    "the end of text": (ALL, lambda a: replace(a, model=with_change(a.model, lambda m: setattr(m.config, "eos_token_id", 9)))),
    "dtype": (ALL, lambda a: replace(a, model=copy.deepcopy(a.model).double())),
    "a token": (ALL, lambda a: replace(a, rows=other_token(a.rows))),
    "a row less": (ALL, lambda a: replace(a, rows=a.rows.select([0, 1, 2, 3]), clusters=(0, 1, 2, 3))),
    "the order of rows": (ALL, lambda a: replace(a, rows=a.rows.select([1, 0, 2, 3, 4]))),
    "P and C": (ALL, lambda a: replace(a, rows=replace(a.rows, prefix_length=P - 1))),
    "C": (
        ALL,
        lambda a: replace(
            a,
            rows=replace(a.rows, ids=a.rows.ids[:, :-1].contiguous()),
            retain=replace(a.retain, ids=a.retain.ids[:, :-1].contiguous()),
        ),
    ),
    "the seed": (("alternatives", "fisher", "kfac", "curvature"), lambda a: replace(a, seed=4)),
    "what stands before the text": (("alternatives",), lambda a: replace(a, rows=replace(a.rows, text_start=1))),
    "replacements": (("alternatives",), lambda a: replace(a, replacements=1)),
    "own continuations": (("baseline",), lambda a: replace(a, with_own=False)),
    "the weights that are scored": (("curvature", *ATTRIBUTIONS), lambda a: replace(a, names=a.names[:-1])),
    "a retain row": (("contrastive", "fisher", "kfac"), lambda a: replace(a, retain=other_token(a.retain))),
    "positions": (("curvature",), lambda a: replace(a, positions="all")),
    "eigenvalues": (("curvature",), lambda a: replace(a, eigenvalues=True)),
    "the block": (("hidden",), lambda a: replace(a, block="transformer.h.1")),
    # Nothing of these:
    "batch size": ((), lambda a: replace(a, batch_size=3)),
    "clusters": ((), lambda a: replace(a, clusters=(8, 8, 8, 1, 1))),
    "the name of the set": ((), lambda a: replace(a, name="bystander")),
    "where rows came from": ((), lambda a: replace(a, rows=replace(a.rows, origin=("moved.csv",) * 5))),
    "the order of names": ((), lambda a: replace(a, names=a.names[::-1])),
    "a copy of the model": ((), lambda a: replace(a, model=copy.deepcopy(a.model))),
    "the model's folder": (
        (),
        lambda a: replace(a, model=with_change(a.model, lambda m: setattr(m.config, "_name_or_path", "/moved"))),
    ),
    "frozen weights": ((), lambda a: replace(a, model=copy.deepcopy(a.model).requires_grad_(False))),
}


@pytest.mark.parametrize(("counts_for", "change"), CHANGES.values(), ids=CHANGES.keys())
@pytest.mark.parametrize("what", ALL)
def test_every_part_of_a_key_counts_and_nothing_else(asked, store, what, counts_for, change):
    asked.of(what, store)
    change(asked).of(what, store)
    assert len(store.reused) == (what not in counts_for)
    asked.of(what, store)  # the first entry is still there
    assert len(store.reused) == 1 + (what not in counts_for)


@pytest.mark.parametrize("what", ALL)
def test_the_precision_of_computing_counts(asked, store, what):
    asked.of(what, store)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        asked.of(what, store)
    before = torch.get_float32_matmul_precision()
    try:
        torch.set_float32_matmul_precision("high")
        asked.of(what, store)
    finally:
        torch.set_float32_matmul_precision(before)
    assert store.reused == []


@contextlib.contextmanager
def newer_producers(monkeypatch):
    with monkeypatch.context() as patched:
        for name, number in base_measurements.VERSIONS.items():
            patched.setitem(base_measurements.VERSIONS, name, number + 1)
        for method in METHODS.values():
            patched.setattr(type(method), "version", method.version + 1)
        yield


@contextlib.contextmanager
def newer_libraries(monkeypatch):
    with monkeypatch.context() as patched:
        patched.setattr(base_measurements, "version", lambda name: "99.0")
        yield


@pytest.mark.parametrize("newer", [newer_producers, newer_libraries])
@pytest.mark.parametrize("what", ALL)
def test_the_version_of_the_code_counts(asked, store, what, newer, monkeypatch):
    asked.of(what, store)
    with newer(monkeypatch):
        asked.of(what, store)
    assert store.reused == []


def test_methods_and_their_settings_count(asked, store):
    for method in (*METHODS.values(), Fisher(quantile=0.25)):
        replace(asked, method=method).of("fisher", store)
    assert store.reused == [] and len([path for path in store.directory.iterdir() if path.is_dir()]) == 6


def test_kinds_of_entries_do_not_meet(asked, store):
    for what in ALL:
        asked.of(what, store)
    assert store.reused == []


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
        assert torch.equal(found.states.hidden, expected.states.hidden) and found.states.head is expected.states.head
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
