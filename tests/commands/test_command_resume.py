"""A run that was interrupted goes on where it was, and ends as if nothing had happened."""

import csv
import shutil
import signal

import command_runs
import interruptions
import plain_transformers
import pyarrow.parquet
import pytest
import torch

# An epoch is 4 batches. A checkpoint every 2 steps.
LONGER = ("batch_size=7", "stop.max_steps=8", "stop.forget_em=0", "objective.forget_weight=0.05", interruptions.OVERRIDE)


def train(*overrides, directory):
    return command_runs.train(*LONGER, *overrides, directory=directory)


def resume(directory, *overrides):
    return command_runs.run("train", "resume=true", interruptions.ALLOWED, *overrides, directory=directory)


@pytest.fixture
def undisturbed(finished_run):
    return finished_run("undisturbed", *LONGER)


@pytest.fixture
def interrupted(tmp_path, monkeypatch):
    """interrupted(step, *overrides): the folder of a run that was interrupted after this step."""

    def interrupted(step, *overrides):
        monkeypatch.setenv("INTERRUPT_AFTER", str(step))
        with pytest.raises(interruptions.Interrupted):
            train(*overrides, directory=tmp_path)
        monkeypatch.delenv("INTERRUPT_AFTER")
        assert not (tmp_path / "result.json").exists()
        return tmp_path

    return interrupted


def curve(folder):
    with open(folder / "metrics.csv", newline="") as file:
        return [{key: float(cell) for key, cell in row.items() if cell} for row in csv.DictReader(file)]


def same_end(folder, other):
    """Result, patch, table and curve are the same to the bit; only the times, and that it was resumed, differ."""
    results = [command_runs.read_result(place) for place in (folder, other)]
    assert results[0]["environment"]["command"] == results[1]["environment"]["command"]
    for result in results:
        del result["seconds"], result["environment"], result["config"]["resume"], result["config"]["allow"]
    assert results[0] == results[1]
    (deltas, indices, about), (others, other_indices, other_about) = (
        plain_transformers.read_patch(place / "patch.safetensors") for place in (folder, other)
    )
    assert about["base_fingerprint"] == other_about["base_fingerprint"] and deltas.keys() == others.keys()
    assert all(torch.equal(indices[name], other_indices[name]) for name in indices)
    assert all(torch.equal(deltas[name].view(torch.int32), others[name].view(torch.int32)) for name in deltas)
    assert command_runs.read_rows(folder) == command_runs.read_rows(other)
    trajectories = [pyarrow.parquet.read_table(place / "trajectory.parquet") for place in (folder, other)]
    assert trajectories[0].equals(trajectories[1])
    assert (folder / "metrics.csv").read_bytes() == (other / "metrics.csv").read_bytes()


def test_the_undisturbed_run_has_several_epochs(undisturbed):
    """Else the tests below would not be what they say."""
    epochs = {row["step"]: row["epoch"] for row in curve(undisturbed) if "train/loss" in row}
    assert epochs == {0: 0, 1: 0, 2: 0, 3: 0, 4: 1, 5: 1, 6: 1, 7: 1}


def test_a_killed_process_is_resumed_to_the_bit(tmp_path, undisturbed):
    here = command_runs.ROOT / "tests" / "commands"
    overrides = (*command_runs.training(*LONGER), f"hydra.run.dir={tmp_path}")
    killed = command_runs.real("train.py", *overrides, PYTHONPATH=str(here), INTERRUPT_AFTER="2", INTERRUPT_BY="kill")
    assert killed.code == -signal.SIGKILL, killed.err
    assert (tmp_path / "checkpoints" / "last.ckpt").is_file() and not (tmp_path / "result.json").exists()
    ended = resume(tmp_path)
    assert ended.code == 0, ended.err
    same_end(tmp_path, undisturbed)
    assert ended.result["config"]["resume"] is True and ended.result["steps"] == 8


def test_a_run_with_protected_bystanders_is_resumed_to_the_bit(interrupted, finished_run):
    whole = finished_run("protected undisturbed", *LONGER, "paragraphs.protect=0.5")
    folder = interrupted(3, "paragraphs.protect=0.5")
    assert resume(folder).code == 0
    same_end(folder, whole)
    result = command_runs.read_result(folder)
    assert result["config"]["paragraphs"]["protect"] == 0.5 and result["before"]["bystander"]["n"] == 1


# In the middle of an epoch, at its end, long after the last checkpoint, at the last step.
@pytest.mark.parametrize("step", [3, 4, 8])
def test_an_interrupted_run_is_resumed_to_the_bit(interrupted, undisturbed, step):
    folder = interrupted(step)
    ended = resume(folder)
    assert ended.code == 0, ended.err
    same_end(folder, undisturbed)


def test_a_run_interrupted_before_its_first_checkpoint_starts_anew(interrupted, undisturbed):
    folder = interrupted(1)
    ended = resume(folder)
    assert ended.code == 0 and "starting from the beginning" in ended.out
    same_end(folder, undisturbed)


@pytest.mark.slow
def test_a_run_may_be_interrupted_twice(interrupted, undisturbed, monkeypatch):
    folder = interrupted(5)
    monkeypatch.setenv("INTERRUPT_AFTER", "7")
    with pytest.raises(interruptions.Interrupted):
        resume(folder)
    monkeypatch.delenv("INTERRUPT_AFTER")
    assert resume(folder).code == 0
    same_end(folder, undisturbed)


@pytest.mark.parametrize(
    "overrides",
    [
        ("mask=random", "optimizer=sgd", "optimizer.lr=0.05", "seed=2", "accumulate=2", "objective=edit"),
        ("trainer.log_every_n_steps=3", "stop.every=4"),
    ],
    ids=["momentum, accumulation and an edit", "a curve with gaps"],
)
def test_every_kind_of_run_is_resumed_to_the_bit(interrupted, tmp_path, overrides):
    folder = interrupted(4, *overrides)
    assert resume(folder).code == 0
    assert train(*overrides, directory=tmp_path / "undisturbed").code == 0
    same_end(folder, tmp_path / "undisturbed")


def test_a_moved_folder_is_resumed_where_it_lies(interrupted, undisturbed, tmp_path_factory):
    old = interrupted(7)
    new = tmp_path_factory.mktemp("moved") / "run"
    shutil.move(old, new)
    assert resume(new).code == 0
    same_end(new, undisturbed)
    assert not old.exists()


def test_the_checkpoint_is_small_and_plain(undisturbed, tiny_folder):
    checkpoint = undisturbed / "checkpoints" / "last.ckpt"
    state = torch.load(checkpoint, weights_only=True)
    k = command_runs.read_result(undisturbed)["mask"]["k"]
    sizes = {key: value.numel() for key, value in state["state_dict"].items()}
    assert sum(size for key, size in sizes.items() if key.endswith(".delta")) == k
    assert all(key.endswith((".delta", ".indices")) for key in sizes)
    assert checkpoint.stat().st_size < (tiny_folder / "model.safetensors").stat().st_size


def test_a_complete_run_has_nothing_to_resume(undisturbed):
    before = {path: path.stat().st_mtime_ns for path in undisturbed.iterdir() if path.name != "train.log"}
    ended = resume(undisturbed)
    assert ended.code == 0 and "complete" in ended.out and ended.err == ""
    assert {path: path.stat().st_mtime_ns for path in before if path.name != ".hydra"} == {
        path: time for path, time in before.items() if path.name != ".hydra"
    }


def test_an_empty_folder_cannot_be_resumed(tmp_path):
    assert "no run to resume" in resume(tmp_path).the_error()
    assert not (tmp_path / "checkpoints").exists()


def test_other_settings_cannot_be_given_when_resuming(interrupted):
    folder = interrupted(5)
    line = resume(folder, "batch_size=3", "seed=3").the_error()
    assert "batch_size=3 seed=3" in line
    assert (folder / "checkpoints" / "last.ckpt").is_file()


def test_a_broken_checkpoint_is_told_in_one_line(interrupted):
    folder = interrupted(5)
    checkpoint = folder / "checkpoints" / "last.ckpt"
    checkpoint.write_bytes(checkpoint.read_bytes()[:2000])
    line = resume(folder).the_error()
    assert "last.ckpt" in line and not (folder / "result.json").exists()


def test_trials_cannot_be_resumed(tmp_path, interrupted):
    from omegaconf import OmegaConf

    folder = interrupted(5)
    config = OmegaConf.load(folder / "checkpoints" / "config.yaml")
    config.protocol = {"_target_": "memunlearn.unlearning.per_paragraph.PerParagraph", "trials": 2}
    del config["stop"]
    OmegaConf.save(config, folder / "checkpoints" / "config.yaml")
    assert "per_paragraph" in resume(folder).the_error()


def test_a_fresh_run_in_an_earlier_ones_folder_is_not_resumed_from_that_ones_checkpoint(interrupted, undisturbed):
    interrupted(5, "seed=4")
    folder = interrupted(1)
    assert resume(folder).code == 0
    same_end(folder, undisturbed)


def test_a_fresh_run_does_not_go_on_from_an_earlier_ones_checkpoint(interrupted, undisturbed):
    folder = interrupted(7, "seed=4")
    assert train(directory=folder).code == 0
    result, expected = command_runs.read_result(folder), command_runs.read_result(undisturbed)
    assert result["after"] == expected["after"] and curve(folder) == curve(undisturbed)
