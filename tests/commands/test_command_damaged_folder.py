"""A run's folder that was damaged, or that a stranger made: one line names the file, and nothing of it is run."""

import json
import shutil

import command_runs
import pytest
import torch
from omegaconf import OmegaConf

slow = pytest.mark.slow
CONFIG, CHECKPOINT = "checkpoints/config.yaml", "checkpoints/last.ckpt"


@pytest.fixture
def folder(finished_run, tmp_path):
    """A run that was interrupted at its very end."""
    copy = shutil.copytree(finished_run("whole", "stop.max_steps=4"), tmp_path / "run")
    (copy / "result.json").unlink()
    return copy


def resume(folder, *overrides):
    return command_runs.run("train", "resume=true", *overrides, directory=folder)


def change_config(folder, **changes):
    config = OmegaConf.load(folder / CONFIG)
    for name, value in changes.items():
        OmegaConf.update(config, name.replace("__", "."), value, merge=False, force_add=True)
    OmegaConf.save(config, folder / CONFIG)


def change_checkpoint(folder, change):
    state = torch.load(folder / CHECKPOINT, weights_only=True)
    change(state)
    torch.save(state, folder / CHECKPOINT)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("result.json", b"[]", "result.json is not a JSON object"),
        ("result.json", b'{"seed": ' + b"1" * 10_000 + b"}", "result.json cannot be read"),
        (CONFIG, b"a: [1", "config.yaml is damaged"),
        (CONFIG, b"seed: 0\n", "config.yaml"),
        ("checkpoints/command.txt", b"\xff\xfe", "command.txt cannot be read"),
        ("metrics.csv", b"step,loss\n0,\xff\n", "metrics.csv"),
        (CHECKPOINT, b"", "last.ckpt is not a readable checkpoint"),
    ],
    ids=lambda value: str(value)[:24],
)
def test_a_damaged_file_is_named(folder, name, content, said):
    (folder / name).write_bytes(content)
    assert said in resume(folder).the_error()
    assert name == "result.json" or not (folder / "result.json").exists()


@pytest.mark.parametrize(
    "changes",
    [
        {"seed": "abc"},
        {"batch_size": 0},
        {"mask__fraction": [1, 2]},
        {"callbacks": 3},
        *(
            pytest.param(changes, marks=slow)
            for changes in (
                {"seeds__mask": -1},
                {"batch_size": "large"},
                {"stop__max_steps": "many"},
                {"demo__memorized": "8 rows"},
                {"paragraphs": None},
                {"protocol": {}},
                {"save_model": "perhaps"},
            )
        ),
    ],
    ids=str,
)
def test_kept_settings_are_checked_like_others(folder, changes):
    change_config(folder, **changes)
    line = resume(folder).the_error()
    assert "config.yaml" in line or next(iter(changes)).replace("__", ".") in line


@pytest.mark.parametrize("group", ["protocol", pytest.param("mask", marks=slow), "callbacks.more"])
def test_a_strangers_config_runs_nothing(folder, tmp_path, group):
    target = {"_target_": "shutil.copyfile", "src": str(folder / "report.html"), "dst": str(tmp_path / "ran")}
    change_config(folder, **{group: target})
    line = resume(folder).the_error()
    assert f"{group}._target_ names shutil.copyfile" in line and "'allow=[shutil.copyfile]'" in line
    change_config(folder, allow=["shutil.copyfile"])  # what the folder itself allows does not count
    assert "allow=[shutil.copyfile]" in resume(folder).the_error()
    assert not (tmp_path / "ran").exists()


def without(name):
    return lambda state: state.pop(name)


@pytest.mark.parametrize(
    "change",
    [
        without("global_step"),
        lambda state: state["callbacks"].update(StopAndKeep={"best": 3}),
        *(
            pytest.param(change, marks=slow)
            for change in (
                *map(without, ["state_dict", "optimizer_states", "loops", "callbacks", "last_good", "epoch"]),
                lambda state: state.update(state_dict={1: 2}),
                lambda state: state.update(state_dict={"model.x.parametrizations.weight.0.delta": torch.zeros(3)}),
                lambda state: state.update(global_step="many"),
                lambda state: state.update(optimizer_states=[{}]),
                lambda state: state.update(curve=[{"step": "first"}]),
            )
        ),
    ],
)
def test_a_checkpoint_that_lacks_or_mistakes_something_is_named(folder, change):
    change_checkpoint(folder, change)
    assert "last.ckpt" in resume(folder).the_error()
    assert not (folder / "result.json").exists()


def test_the_curve_is_that_of_an_undisturbed_run_whenever_it_was_interrupted(folder, finished_run):
    """Here after the numbers of the end were written, but not the result."""
    assert resume(folder).code == 0
    assert (folder / "metrics.csv").read_bytes() == (finished_run("whole") / "metrics.csv").read_bytes()


def test_what_killed_runs_left_goes_with_the_next_run(folder):
    left = [folder / ".tmp-1-report.html", folder / "checkpoints" / ".tmp-2-last.ckpt", folder / "figures" / ".tmp-3-em.png"]
    for path in left:
        path.write_text("half of it")
    (folder / ".tmp-4-model").mkdir()
    (folder / ".tmp-4-model" / "model.safetensors").write_text("half of it")
    assert resume(folder).code == 0
    assert not list(folder.rglob(".tmp-*"))


def test_passwords_are_in_no_file_of_a_run(tmp_path):
    secret = "s3://me:s3cret@host/x"
    ended = command_runs.train("stop.max_steps=2", f"++attribution_note='{secret}'", directory=tmp_path)
    assert ended.code == 0, ended.err
    kept = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert not [path for path in kept if b"s3cret" in path.read_bytes()]
    assert json.loads((tmp_path / "result.json").read_text())["config"]["attribution_note"] == "s3://me:***@host/x"
    (tmp_path / "result.json").unlink()
    assert "attribution_note=..." in resume(tmp_path).the_error()
    assert resume(tmp_path, f"++attribution_note='{secret}'").code == 0
    assert "s3cret" not in (tmp_path / "result.json").read_text()


def test_passwords_are_in_no_message(tmp_path):
    ended = command_runs.train("model=local", "model.name_or_path=https://me:s3cret@host/x", directory=tmp_path)
    assert "https://me:***@host/x" in ended.the_error() and "s3cret" not in ended.err + ended.out


def test_a_config_is_kept_only_once_the_rest_is(tmp_path, monkeypatch):
    """A kill in between leaves a run that cannot be resumed, rather than one that does not know its command."""

    def killed(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr("memunlearn.commands.resuming.keep_config", killed)
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / CONFIG).write_text("of an earlier run")
    with pytest.raises(KeyboardInterrupt):
        command_runs.train(directory=tmp_path)
    assert not (tmp_path / CONFIG).exists() and (tmp_path / "checkpoints" / "command.txt").read_text().startswith(
        "python train.py"
    )
