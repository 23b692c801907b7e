"""The same config and seed give the same result and the same bits; another seed gives others; 0 is a seed."""

import command_runs
import plain_transformers
import torch


def comparable(result):
    return {key: value for key, value in result.items() if key not in ("seconds", "environment")}


def same_patch(one, other):
    (deltas, indices, about), (other_deltas, other_indices, other_about) = map(plain_transformers.read_patch, (one, other))
    return (
        about == other_about
        and deltas.keys() == other_deltas.keys()
        and all(torch.equal(indices[name], other_indices[name]) for name in indices)
        and all(torch.equal(deltas[name].view(torch.int32), other_deltas[name].view(torch.int32)) for name in deltas)
    )


def test_the_same_run_twice_is_the_same_to_the_bit(tmp_path):
    overrides = ("mask=random", "mask.match=true", "objective=edit", "attribution=fisher", "seed=3", "cache=false")
    torch.manual_seed(5)
    first = command_runs.train(*overrides, directory=tmp_path / "first")
    torch.manual_seed(6)
    second = command_runs.train(*overrides, directory=tmp_path / "second")
    assert first.code == second.code == 0
    assert comparable(first.result) == comparable(second.result)
    assert command_runs.read_rows(tmp_path / "first") == command_runs.read_rows(tmp_path / "second")
    assert same_patch(tmp_path / "first" / "patch.safetensors", tmp_path / "second" / "patch.safetensors")
    assert (tmp_path / "first" / "metrics.csv").read_text() == (tmp_path / "second" / "metrics.csv").read_text()


def test_another_seed_splits_draws_and_trains_differently(tmp_path, gradient_run):
    ended = command_runs.train("seed=1", "save_model=true", directory=tmp_path)
    assert ended.code == 0 and ended.result["seed"] == 1
    rows, others = (
        {row["origin"] for row in command_runs.read_rows(folder) if row["set"] == "forget"}
        for folder in (tmp_path, gradient_run)
    )
    assert rows != others and len(rows) == len(others)
    assert not same_patch(tmp_path / "patch.safetensors", gradient_run / "patch.safetensors")


def test_zero_is_a_seed(tmp_path, gradient_run):
    torch.manual_seed(1234)
    ended = command_runs.train("seed=0", "save_model=true", directory=tmp_path)
    assert ended.result["seed"] == 0
    assert comparable(ended.result) == comparable(command_runs.read_result(gradient_run))
    assert same_patch(tmp_path / "patch.safetensors", gradient_run / "patch.safetensors")


def test_random_masks_follow_the_seed(tmp_path):
    masks = []
    for seed in ("0", "1"):
        assert command_runs.train("mask=random", f"seed={seed}", "stop.max_steps=1", directory=tmp_path / seed).code == 0
        masks.append(plain_transformers.read_patch(tmp_path / seed / "patch.safetensors")[1])
    assert any(not torch.equal(masks[0][name], masks[1][name]) for name in masks[0])


def test_trials_are_the_same_twice(tmp_path):
    for name in ("first", "second"):
        trials = ["protocol=per_paragraph", "protocol.trials=2", "protocol.steps=3", "cache=false"]
        ended = command_runs.train(*trials, directory=tmp_path / name)
        assert ended.code == 0, ended.err
    assert comparable(command_runs.read_result(tmp_path / "first")) == comparable(command_runs.read_result(tmp_path / "second"))
    for patch in ("patches/trial_000.safetensors", "patches/trial_001.safetensors"):
        assert same_patch(tmp_path / "first" / patch, tmp_path / "second" / patch)


def test_evaluating_twice_gives_the_same(tmp_path, gradient_run):
    for name in ("first", "second"):
        patch = f"patch={gradient_run / 'patch.safetensors'}"
        assert command_runs.evaluate(patch, "cache=false", directory=tmp_path / name).code == 0
    first, second = (command_runs.read_result(tmp_path / name, "evaluation.json") for name in ("first", "second"))
    assert comparable(first) == comparable(second)
