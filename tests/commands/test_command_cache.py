"""The commands with the cache: a second run measures nothing anew, and its result is that of a run without."""

import json
import os

import command_runs
import pytest
from torch.nn.modules import module
from transformers import PreTrainedModel

from memunlearn.caching.entries import TENSORS
from memunlearn.scoring import forward


@pytest.fixture(autouse=True)
def cache(tmp_path, tiny_folder, monkeypatch):
    """A cache with nothing in it but the tiny demo."""
    place = tmp_path / "cache"
    place.mkdir()
    (place / tiny_folder.name).symlink_to(tiny_folder)
    monkeypatch.setenv("MEMUNLEARN_CACHE", str(place))
    return place


@pytest.fixture
def passes(monkeypatch):
    """passes(): how many forward passes the models have made since it was last asked."""
    counted = []

    def count(one, inputs):
        if isinstance(one, PreTrainedModel) and hasattr(one, "lm_head"):
            counted.append(1)

    handle = module.register_module_forward_pre_hook(count)

    def passes():
        number = len(counted)
        counted.clear()
        return number

    yield passes
    handle.remove()


def entries(cache):
    return sorted(place for place in (cache / "computed").glob("*") if place.is_dir())


def reused(ended):
    """What the one line about it says; None without such a line."""
    assert ended.code == 0, ended.err
    lines = [line for line in ended.out.splitlines() if line.startswith("reused from the cache: ")]
    assert len(lines) <= 1
    return lines[0].partition(": ")[2] if lines else None


def outcome(folder, name="result.json"):
    """Everything that a run leaves but the times, and what the config says of the cache."""
    result = command_runs.read_result(folder, name)
    result.pop("seconds", None)
    result["environment"].pop("command", None)  # names the folder
    assert isinstance(result["config"].pop("cache"), bool)
    return json.dumps(result), command_runs.read_rows(folder)


def test_a_second_run_reuses_everything_and_ends_the_same(tmp_path, cache, passes):
    assert reused(command_runs.train("cache=false", directory=tmp_path / "without")) is None
    assert not (cache / "computed").exists()
    everything = passes()
    assert reused(command_runs.train(directory=tmp_path / "first")) is None
    assert passes() == everything and len(entries(cache)) >= 7
    made = entries(cache)
    said = reused(command_runs.train(directory=tmp_path / "second"))
    sets = len(made) - 2
    assert said == f"scores (1), baselines ({sets}), attributions (1)" and entries(cache) == made
    fewer = passes()
    assert outcome(tmp_path / "first") == outcome(tmp_path / "second") == outcome(tmp_path / "without")
    curves = {(tmp_path / name / "metrics.csv").read_text() for name in ("first", "second", "without")}
    assert len(curves) == 1
    # Nothing but training, and scoring during and after it, is left, whatever the other settings are.
    command_runs.train("mask.selection=per_tensor", "objective.retain_weight=1.5", directory=tmp_path / "third")
    assert entries(cache) == made and passes() == fewer < everything


@pytest.mark.slow
def test_an_edit_reuses_what_unlearning_measured_but_looks_for_alternatives(tmp_path, cache):
    # Of few tokens most texts share a fifth: several replacements a position find enough that do not.
    edit = ("objective=edit", "objective.forget_weight=0.1", "objective.replacements=8", "attribution=fisher")
    assert reused(command_runs.train("mask=all", directory=tmp_path / "unlearn")) is None
    sets = len(entries(cache)) - 1
    first = command_runs.train(*edit, directory=tmp_path / "first")
    assert reused(first) == f"scores (1), baselines ({sets})" and len(entries(cache)) == 1 + sets + 2
    second = command_runs.train(*edit, "mask=random", "mask.match=true", "batch_size=8", directory=tmp_path / "second")
    assert reused(second) == f"scores (1), baselines ({sets}), alternatives (1), attributions (1)"
    assert reused(command_runs.train(*edit, directory=tmp_path / "again")) == reused(second)
    assert outcome(tmp_path / "again") == outcome(tmp_path / "first")
    other_seed = command_runs.train(*edit, "mask=all", "seed=1", directory=tmp_path / "other")
    assert reused(other_seed) == "scores (1)"  # the corpus is the same, the split is another


def test_damaged_entries_are_said_and_made_again(tmp_path, cache):
    command_runs.train(directory=tmp_path / "first")
    made = entries(cache)
    for place in made[::2]:
        os.truncate(place / TENSORS, (place / TENSORS).stat().st_size // 2)
    ended = command_runs.train(directory=tmp_path / "second")
    said = [line for line in ended.err.splitlines() if line.startswith("cache: ")]
    assert len(said) == len(made[::2]) and all("damaged" in line for line in said)
    assert outcome(tmp_path / "second") == outcome(tmp_path / "first") and entries(cache) == made
    assert reused(ended).count("(") < 4
    assert command_runs.train(directory=tmp_path / "third").err == ""


def test_trials_reuse_baselines_too(tmp_path, cache):
    trials = ("protocol=per_paragraph", "protocol.trials=2", "protocol.steps=2")
    command_runs.train(*trials, directory=tmp_path / "first")
    made = entries(cache)
    ended = command_runs.train(*trials, directory=tmp_path / "second")
    assert reused(ended) == f"scores (1), baselines ({len(made) - 1})" and entries(cache) == made
    assert outcome(tmp_path / "second") == outcome(tmp_path / "first")


def test_evaluating_reuses_the_base_models_scores_but_never_those_of_a_patch(tmp_path, cache, passes):
    command_runs.train("cache=false", directory=tmp_path / "unlearned")
    patch = f"patch={tmp_path / 'unlearned' / 'patch.safetensors'}"
    runs = {"plain": (), "patched": (patch,)}
    for name, overrides in runs.items():
        assert reused(command_runs.evaluate(*overrides, "cache=false", directory=tmp_path / f"{name} without")) is None
    passes()
    for name, overrides in runs.items():
        assert reused(command_runs.evaluate(*overrides, directory=tmp_path / f"{name} first")) is None
    assert len(entries(cache)) == 2
    needed = passes()
    assert reused(command_runs.evaluate(directory=tmp_path / "plain second")) == "scores (1)" and passes() == 0
    assert reused(command_runs.evaluate(patch, directory=tmp_path / "patched second")) == "baselines (1)"
    assert 0 < passes() < needed and len(entries(cache)) == 2
    for name in runs:
        ends = {str(outcome(tmp_path / f"{name} {which}", "evaluation.json")) for which in ("without", "first", "second")}
        assert len(ends) == 1
    # Training splits by EM alone, which it has without what is measured for reports: an entry of its own, for all runs.
    assert reused(command_runs.train(directory=tmp_path / "train")) is None
    assert "scores (1)" in reused(command_runs.train("seed=1", directory=tmp_path / "another train"))


def test_large_states_leave_no_file_in_a_run(tmp_path, cache, monkeypatch):
    command_runs.train(directory=tmp_path / "small")
    for place in entries(cache):
        os.truncate(place / TENSORS, 0)
    monkeypatch.setattr(forward, "MEMORY_MAP_ABOVE", 0)
    ended = command_runs.train(directory=tmp_path / "large")
    assert ended.code == 0 and list(tmp_path.rglob("*.f32")) == []
    assert outcome(tmp_path / "large") == outcome(tmp_path / "small")


def test_the_switch_is_true_or_false(tmp_path):
    assert "cache=maybe" in command_runs.train("cache=maybe", directory=tmp_path).the_error()
