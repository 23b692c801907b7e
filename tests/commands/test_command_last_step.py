"""What was trained outlives whatever fails afterwards, and the message says where it is."""

import importlib.metadata
import re
import shlex

import command_runs
import pytest
import tiny_demo
from command_runs import training
from judged_patches import judge, sets_of

from memunlearn.models.patches import load_patch

SHORT = "stop.max_steps=2"
FULL = OSError(28, "No space left on device")


def failing(error):
    def fail(*arguments, **settings):
        raise error

    return fail


def fault(*overrides, directory):
    """The exception of a run that ends with a fault of ours."""
    with pytest.raises(RuntimeError) as raised:
        command_runs.run("train", *training(*overrides), directory=directory)
    return raised.value


def advice(text):
    """The command between backquotes."""
    return shlex.split(re.search(r"`python evaluate\.py (.*?)`", text)[1])


def nothing_unfinished(folder):
    return not [path.name for path in folder.rglob("*") if path.name.startswith(".tmp") or "unfinished" in path.name]


@pytest.fixture
def undisturbed(finished_run):
    return finished_run("two steps", SHORT)


def same_patch(folder, other):
    one, two = load_patch(folder / "patch.safetensors"), load_patch(other / "patch.safetensors")
    return one.roles == two.roles and all((one.deltas[name] == delta).all() for name, delta in two.deltas.items())


def test_a_checkout_that_is_not_installed_runs_to_its_end(tmp_path, monkeypatch):
    find = importlib.metadata.Distribution.from_name

    def not_installed(name):
        if name.lower() == "memunlearn":
            raise importlib.metadata.PackageNotFoundError(name)
        return find(name)

    monkeypatch.setattr(importlib.metadata.Distribution, "from_name", staticmethod(not_installed))
    ended = command_runs.train(SHORT, directory=tmp_path / "run")
    assert ended.code == 0, ended.err
    assert ended.result["environment"]["libraries"]["memunlearn"]
    assert judge(tmp_path / "run" / "patch.safetensors", directory=tmp_path / "judged").code == 0


def test_versions_and_commit_are_asked_for_before_the_model_is_loaded(tmp_path, monkeypatch):
    monkeypatch.setattr("memunlearn.commands.environment.platform.platform", failing(RuntimeError("no platform")))
    monkeypatch.setattr("memunlearn.commands.train.load_inputs", failing(AssertionError("too late")))
    assert "no platform" in str(fault(directory=tmp_path))
    for script in ("evaluate", "localize"):
        monkeypatch.setattr(f"memunlearn.commands.{script}.load_inputs", failing(AssertionError("too late")), raising=False)
        monkeypatch.setattr(
            f"memunlearn.commands.{script}.load_configured_model", failing(AssertionError("too late")), raising=False
        )
        with pytest.raises(RuntimeError, match="no platform"):
            command_runs.run(script, "accelerator=cpu", directory=tmp_path / script)


@pytest.mark.parametrize(
    "what",
    [
        "memunlearn.unlearning.reported.measure_set",
        "lightning.pytorch.callbacks.ModelCheckpoint.on_train_end",
        pytest.param("memunlearn.commands.run_folder.paragraph_rows", marks=pytest.mark.slow),
        pytest.param("memunlearn.commands.run_folder.write_parquet", marks=pytest.mark.slow),
        pytest.param("memunlearn.commands.run_folder.write_json", marks=pytest.mark.slow),
        pytest.param("memunlearn.commands.train.result_of", marks=pytest.mark.slow),
        pytest.param("memunlearn.commands.curve_file.CurveFile.finalize", marks=pytest.mark.slow),
    ],
)
@pytest.mark.parametrize("error", [FULL, RuntimeError("a fault")], ids=["full disk", "fault"])
def test_the_trained_patch_is_kept_whole(tmp_path, monkeypatch, undisturbed, what, error):
    run = tmp_path / "run (a=b)"
    with monkeypatch.context() as broken:
        broken.setattr(what, failing(error))
        if error is FULL:
            said = command_runs.train(SHORT, directory=f"'{run}'").the_error()
            assert "No space left" in said
        else:
            said = "\n".join(fault(SHORT, directory=f"'{run}'").__notes__)
    assert same_patch(run, undisturbed) and (run / "metrics.csv").is_file()
    assert not (run / "result.json").exists() and nothing_unfinished(run)
    assert str(run / "patch.safetensors") in said
    # The advice works when pasted, and measures what the run would have.
    ended = command_runs.run("evaluate", *advice(said), "accelerator=cpu", directory=tmp_path / "judged")
    assert ended.code == 0, ended.err
    assert sets_of(tmp_path / "judged")["forget"]["em"] == command_runs.read_result(undisturbed)["after"]["forget"]["em"]


def test_trials_are_kept_one_by_one(tmp_path, monkeypatch):
    from memunlearn.unlearning import trials

    measured, measure_set = [], trials.measure_set

    def until_the_second(*arguments, **settings):
        measured.append(1)
        if len(list((tmp_path / "patches").iterdir())) == 2:
            raise RuntimeError("a fault")
        return measure_set(*arguments, **settings)

    monkeypatch.setattr(trials, "measure_set", until_the_second)
    settings = ("protocol=per_paragraph", "protocol.trials=3", "protocol.steps=1", "protocol.retain_batch=3")
    notes = "\n".join(fault(*settings, directory=tmp_path).__notes__)
    assert measured and str(tmp_path / "patches") in notes
    assert [path.name for path in sorted((tmp_path / "patches").iterdir())] == [f"trial_00{t}.safetensors" for t in (0, 1)]
    assert not (tmp_path / "result.json").exists() and nothing_unfinished(tmp_path)


@pytest.mark.parametrize("error", [FULL, RuntimeError("a fault")], ids=["full disk", "fault"])
def test_a_page_that_fails_does_not_cost_the_result(tmp_path, monkeypatch, undisturbed, error):
    tmp_path.joinpath("report.html").write_text("of an earlier run")
    with monkeypatch.context() as broken:
        broken.setattr("memunlearn.reporting.run_page.run_charts", failing(error))
        if error is FULL:
            said = command_runs.train(SHORT, directory=tmp_path).the_error()
        else:
            said = "\n".join(fault(SHORT, directory=tmp_path).__notes__)
    assert f"{tmp_path / 'result.json'} is complete" in said and f"python -m memunlearn.reporting {tmp_path}" in said
    assert command_runs.read_result(tmp_path)["after"] == command_runs.read_result(undisturbed)["after"]
    assert same_patch(tmp_path, undisturbed) and nothing_unfinished(tmp_path)
    assert not (tmp_path / "report.html").exists()
    from memunlearn.reporting.__main__ import main

    assert main([str(tmp_path)]) == 0
    page = re.sub(r"outputs?[^<]*|seconds?[^<]*", "", (tmp_path / "report.html").read_text())
    assert "</html>" in page and (tmp_path / "figures").is_dir()


@pytest.mark.parametrize(
    ("what", "overrides", "missing"),
    [
        ("memunlearn.commands.run_folder.save_baked", ["save_model=true"], "model/ was not written"),
        ("memunlearn.commands.train.track_result", [], "did not reach its logger"),
        ("memunlearn.commands.train.finish_tracking", [], "its logger did not end well"),
    ],
)
@pytest.mark.slow
def test_neither_does_a_checkpoint_or_an_upload(tmp_path, monkeypatch, what, overrides, missing):
    monkeypatch.setattr(what, failing(FULL))
    line = command_runs.train(SHORT, *overrides, directory=tmp_path).the_error()
    assert missing in line and "No space left" in line
    assert command_runs.read_result(tmp_path)["stopped_because"] and (tmp_path / "report.html").is_file()


def test_a_patch_for_which_the_folder_has_no_room_lies_elsewhere(tmp_path, monkeypatch, undisturbed):
    import os
    import tempfile

    replace = os.replace

    def full(source, target):
        if str(target) == str(tmp_path / "run" / "patch.safetensors"):
            raise FULL
        replace(source, target)

    monkeypatch.setattr(os, "replace", full)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    line = command_runs.train(SHORT, directory=tmp_path / "run").the_error()
    (kept,) = tmp_path.glob("memunlearn-*/patch.safetensors")
    assert "No space left" in line and str(kept) in line and same_patch(kept.parent, undisturbed)
    assert nothing_unfinished(tmp_path / "run") and not (tmp_path / "run" / "patch.safetensors").exists()


def test_a_tokenizer_that_cannot_decode_is_refused_before_training(tmp_path, monkeypatch):
    from transformers import PreTrainedTokenizerFast

    monkeypatch.setattr(PreTrainedTokenizerFast, "decode", failing(TypeError("sequence item 3: expected str, NoneType found")))
    monkeypatch.setattr("memunlearn.commands.train.split", failing(AssertionError("too late")))
    line = command_runs.train(directory=tmp_path).the_error()
    assert "tokenizer cannot decode" in line and "model.tokenizer" in line


def test_rows_are_written_before_training(tmp_path, monkeypatch):
    monkeypatch.setattr("memunlearn.paragraphs.row_file.save_file", failing(FULL))
    monkeypatch.setattr("memunlearn.objectives.contrastive.Unlearn.__call__", failing(AssertionError("too late")))
    assert "rows.safetensors" in command_runs.train(directory=tmp_path).the_error()
    assert nothing_unfinished(tmp_path)


def test_a_page_of_localize_that_fails_does_not_cost_the_numbers(tmp_path, monkeypatch):
    def localize():
        return command_runs.run("localize", *tiny_demo.OVERRIDES, "accelerator=cpu", "analysis=em_nll", directory=tmp_path)

    with monkeypatch.context() as broken:
        broken.setattr("memunlearn.commands.findings_folder.localization_page", failing(FULL))
        line = localize().the_error()
    assert "localization.json is complete" in line and "localization.html" in line and "No space left" in line
    numbers = command_runs.read_result(tmp_path, "localization.json")["analyses"]
    assert not (tmp_path / "localization.html").exists() and nothing_unfinished(tmp_path)
    again = localize()
    assert again.code == 0 and "em_nll: kept" in again.out and (tmp_path / "localization.html").is_file()
    assert command_runs.read_result(tmp_path, "localization.json")["analyses"] == numbers
