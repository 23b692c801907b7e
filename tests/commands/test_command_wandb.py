"""Loggers beside metrics.csv: what reaches W&B (offline, read back from its own files) and TensorBoard."""

import json

import command_runs
import interruptions
import offline_records
import pytest


@pytest.fixture(autouse=True)
def _no_service_stays():
    """W&B keeps a service, and the settings that it was started with, for the life of the process."""
    yield
    import wandb

    wandb.teardown()


@pytest.fixture
def offline(monkeypatch):
    for name, value in {"WANDB_MODE": "offline", "WANDB_SILENT": "true"}.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def sweep(once, offline):
    """A sweep of two jobs with logger=wandb: its folder."""

    def make(folder):
        ended = command_runs.train("logger=wandb", "seed=0,1", "stop.max_steps=4", directory=folder, where="sweep")
        assert ended.code == 0, ended.err

    return once("wandb", make)


def recorded(folder):
    import wandb

    wandb.teardown()  # its service writes the last records when it ends, as it does when the command does
    return [offline_records.read(path) for path in sorted(folder.rglob("*.wandb"))]


def test_every_job_is_a_run_of_its_own_in_one_group(sweep):
    runs = [run for job in ("0", "1") for run in recorded(sweep / job)]
    assert len(runs) == 2 and runs[0].id != runs[1].id and all(run.id for run in runs)
    assert runs[0].group == runs[1].group != ""
    assert [run.exit_code for run in runs] == [0, 0]  # finished, not left open for the next job


def test_a_run_holds_its_config_curve_and_numbers(sweep):
    for job in ("0", "1"):
        (run,) = recorded(sweep / job)
        result = command_runs.read_result(sweep / job)
        assert run.config["seed"] == int(job) and run.config["mask"]["fraction"] == 0.05
        losses = [row for row in run.history if "train/loss" in row]
        assert [row["trainer/global_step"] for row in losses] == [0, 1, 2, 3]
        assert [row["trainer/global_step"] for row in run.history if "check/forget_em" in row] == [1, 2, 4]
        for when in ("before", "after"):
            for name in ("forget", "bystander", "retain"):
                for key in ("em", "nll", "kl", "self_em", "n"):
                    assert run.summary[f"{when}/{name}/{key}"] == pytest.approx(result[when][name][key])
        assert run.summary["stopped_because"] == result["stopped_because"] and run.summary["steps"] == result["steps"]


def test_a_run_holds_the_paragraphs_and_the_patch(sweep):
    (run,) = recorded(sweep / "0")
    assert run.artifacts["patch"] == ["patch.safetensors"]
    (table,) = [row for row in run.history if "paragraphs/path" in row]
    rows = command_runs.read_rows(sweep / "0")
    assert table["paragraphs/_type"] == "table-file" and table["paragraphs/nrows"] == len(rows)
    (file,) = (sweep / "0").rglob(f"**/files/{table['paragraphs/path']}")
    kept = json.loads(file.read_text())
    assert kept["columns"] == list(rows[0])
    for column in ("origin", "continuation_after", "token_texts", "token_nll_after"):
        assert [row[kept["columns"].index(column)] for row in kept["data"]] == [row[column] for row in rows]


def test_a_run_that_fails_is_finished_too_and_told_as_failed(tmp_path, offline):
    ended = command_runs.train("logger=wandb", "mask.layers=[9],[1]", "stop.max_steps=1", directory=tmp_path, where="sweep")
    assert ended.code == 2
    failed, complete = (recorded(tmp_path / job)[0] for job in ("0", "1"))
    assert failed.id != complete.id and failed.group == complete.group
    assert failed.exit_code not in (None, 0) and complete.exit_code == 0
    assert not [key for key in failed.summary if key.startswith("after/")]


def test_a_run_by_itself_has_no_group_and_keeps_its_id(tmp_path, offline):
    ids = set()
    for _ in range(2):
        assert command_runs.train("logger=wandb", "stop.max_steps=1", directory=tmp_path / "run").code == 0
        runs = recorded(tmp_path / "run")
        assert {run.group for run in runs} == {""}
        ids |= {run.id for run in runs}
    assert len(ids) == 1


def test_a_job_of_a_sweep_that_is_resumed_by_itself_goes_on_in_its_run(tmp_path, offline, monkeypatch):
    monkeypatch.setenv("INTERRUPT_AFTER", "3")
    ended = command_runs.train("logger=wandb", interruptions.OVERRIDE, "seed=4", directory=tmp_path, where="sweep")
    assert ended.code == 1 and command_runs.read_result(tmp_path / "0", "error.json")["type"] == "Interrupted"
    monkeypatch.delenv("INTERRUPT_AFTER")
    assert command_runs.run("train", "resume=true", directory=tmp_path / "0").code == 0
    interrupted, resumed = sorted(recorded(tmp_path / "0"), key=lambda run: run.exit_code == 0)
    assert interrupted.exit_code == 1 and resumed.exit_code == 0
    assert interrupted.id == resumed.id and interrupted.group == resumed.group != ""


def test_without_a_login_the_line_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "online")
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    line = command_runs.train("logger=wandb", "stop.max_steps=1", directory=tmp_path).the_error()
    assert "wandb login" in line and "WANDB_MODE=offline" in line and not (tmp_path / "result.json").exists()


def test_tensorboard_gets_the_curve_and_the_numbers(tmp_path):
    reading = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    assert command_runs.train("logger=tensorboard", directory=tmp_path).code == 0
    result = command_runs.read_result(tmp_path)
    events = reading.EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert [event.step for event in events.Scalars("train/loss")] == [0, 1, 2, 3, 4, 5]
    (after,) = events.Scalars("after/retain/kl")
    assert after.value == pytest.approx(result["after"]["retain"]["kl"], rel=1e-5)
    assert (tmp_path / "metrics.csv").is_file()
