"""Loggers beside metrics.csv: what reaches W&B (offline, read back from its own files) and TensorBoard."""

import json

import command_runs
import interruptions
import offline_records
import pytest
import tiny_demo

from memunlearn.commands.tracking import group_of, not_started, track_summary
from memunlearn.errors import UserError
from memunlearn.files.writing import write_parquet, write_text
from memunlearn.results.sentence import result_sentence


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


def test_the_sweeps_summary_is_a_run_of_its_own_in_the_same_group(sweep):
    runs = {run.id: run for run in recorded(sweep)}
    (job,) = recorded(sweep / "0")
    (summary,) = [run for run in runs.values() if run.job_type == "summary"]
    assert len(runs) == 3 and summary.group == job.group == group_of(sweep) and summary.exit_code == 0
    assert any("sweep/path" in row and "sweep_page/path" in row for row in summary.history)


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
    trials = ("protocol=per_paragraph", "protocol.steps=1", "protocol.trials=99,1")  # of 4 forget paragraphs
    ended = command_runs.train("logger=wandb", *trials, directory=tmp_path, where="sweep")
    assert ended.code == 2
    failed, complete = (recorded(tmp_path / job)[0] for job in ("0", "1"))
    assert failed.id != complete.id and failed.group == complete.group
    assert failed.exit_code not in (None, 0) and complete.exit_code == 0
    assert not [key for key in failed.summary if key.startswith("after/")]


def test_a_run_holds_the_figures_of_its_report(tmp_path, offline, drawing):
    assert command_runs.train("logger=wandb", "stop.max_steps=2", directory=tmp_path).code == 0
    (run,) = recorded(tmp_path)
    (logged,) = [row for row in run.history if "paragraphs/path" in row]
    for name in ("em", "training"):
        assert logged[f"report/{name}/_type"] == "image-file" and logged[f"report/{name}/width"] > 500
        (file,) = tmp_path.rglob(f"**/files/{logged[f'report/{name}/path']}")
        assert file.read_bytes().startswith(b"\x89PNG")


def test_the_kept_check_is_in_the_summary(sweep):
    (run,) = recorded(sweep / "1")
    kept = command_runs.read_result(sweep / "1")["kept_check"]
    assert kept["step"] == command_runs.read_result(sweep / "1")["kept_step"]
    unknown = [name for name, value in kept.items() if value is None]
    assert unknown == ["alternative_em", "forget_longest_common_run"]  # it does not edit
    shown = {key.removeprefix("kept_check/"): run.summary[key] for key in run.summary if key.startswith("kept_check/")}
    assert shown == pytest.approx({name: value for name, value in kept.items() if value is not None})


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
    assert command_runs.run("train", "resume=true", interruptions.ALLOWED, directory=tmp_path / "0").code == 0
    interrupted, resumed = sorted(recorded(tmp_path / "0"), key=lambda run: run.exit_code == 0)
    assert interrupted.exit_code == 1 and resumed.exit_code == 0
    assert interrupted.id == resumed.id and interrupted.group == resumed.group != ""


def test_names_of_digits_are_names(tmp_path, offline):
    given = ("logger=wandb", "logger.name=7", "logger.project=2024", "logger.tags=[125,neo]", "stop.max_steps=1")
    assert command_runs.train(*given, directory=tmp_path).code == 0
    (run,) = recorded(tmp_path)
    assert (run.name, run.project, run.tags) == ("7", "2024", ["125", "neo"])


@pytest.mark.parametrize(
    ("setting", "says"), [("logger.project=a/b", "Invalid project name"), ("+logger.colour=red", "colour")]
)
def test_a_setting_that_is_not_taken_is_no_matter_of_logging_in(tmp_path, offline, setting, says):
    line = command_runs.train("logger=wandb", "stop.max_steps=1", setting, directory=tmp_path).the_error()
    assert says in line and "logger.*" in line and "login" not in line and "WANDB_MODE" not in line


def test_what_to_do_depends_on_what_went_wrong():
    from wandb.errors import AuthenticationError, CommError, UsageError

    remedies = {
        AuthenticationError("the key is not valid"): "log in with `wandb login`",
        UsageError("No API key configured. Use `wandb login` to log in."): "log in with `wandb login`",
        CommError("no such host"): "check that its server can be reached",
        TimeoutError("too slow"): "check that its server can be reached",
        ValueError("1 validation error for Settings"): "mend the setting",
    }
    for error, remedy in remedies.items():
        said = str(not_started(error))
        assert said.startswith(f"Weights & Biases did not start ({error}): {remedy}")


def test_without_a_login_the_line_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "online")
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    line = command_runs.train("logger=wandb", "stop.max_steps=1", directory=tmp_path).the_error()
    assert "wandb login" in line and "WANDB_MODE=offline" in line and not (tmp_path / "result.json").exists()


@pytest.fixture
def summary_files(tmp_path):
    """A sweep's folder and what its summary left there."""
    folder = tmp_path / "multirun" / "today" / "noon"
    columns = {
        "job": ["0", "1"],
        "forget_em": [2.5, None],
        "error": [None, "layers: 9 does not exist"],
        "overrides": [["seed=0"], ["mask.layers=[9]", "seed=1"]],
    }
    write_parquet(folder / "sweep.parquet", columns)
    write_text(folder / "sweep.html", "<p>M\u00fcller &amp; <script>1</script></p>")
    write_text(folder / "sweep.md", "# two jobs")
    return folder, [folder / name for name in ("sweep.parquet", "sweep.html", "sweep.md")]


def test_the_summary_of_a_sweep_is_a_run_of_its_own_in_its_group(summary_files, offline):
    folder, files = summary_files
    for _ in range(2):  # after each job, say
        track_summary(folder, files, "memunlearn")
    first, second = recorded(folder)
    assert first.id == second.id != "" and (first.group, first.job_type, first.name) == ("today/noon", "summary", "summary")
    assert [run.exit_code for run in (first, second)] == [0, 0]
    (logged,) = [row for row in second.history if "sweep/path" in row]
    assert logged["sweep/_type"] == "table-file" and logged["sweep_page/_type"] == "html-file"
    *_, table = sorted(folder.rglob(f"**/files/{logged['sweep/path']}"))
    kept = json.loads(table.read_text())
    assert kept["columns"] == ["job", "forget_em", "error", "overrides"]
    assert kept["data"] == [
        ["0", 2.5, None, '["seed=0"]'],
        ["1", None, "layers: 9 does not exist", '["mask.layers=[9]", "seed=1"]'],
    ]
    *_, page = sorted(folder.rglob(f"**/files/{logged['sweep_page/path']}"))
    assert page.read_text("utf-8") == files[1].read_text("utf-8")
    assert sorted(second.artifacts["summary"]) == ["sweep.html", "sweep.md", "sweep.parquet"]


def test_a_summary_without_a_login_says_what_to_do(summary_files, tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "online")
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    with pytest.raises(UserError, match="wandb login"):
        track_summary(*summary_files, "memunlearn")


def test_tensorboard_gets_the_curve_and_the_numbers(tmp_path, drawing):
    reading = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    assert command_runs.train("logger=tensorboard", directory=tmp_path).code == 0
    result = command_runs.read_result(tmp_path)
    events = reading.EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert [event.step for event in events.Scalars("train/loss")] == [0, 1, 2, 3, 4, 5]
    (after,) = events.Scalars("after/retain/kl")
    assert after.value == pytest.approx(result["after"]["retain"]["kl"], rel=1e-5)
    (kept,) = events.Scalars("kept_check/retain_val_kl")
    assert kept.value == pytest.approx(result["kept_check"]["retain_val_kl"], rel=1e-5)
    assert (tmp_path / "metrics.csv").is_file()
    assert {"report/em", "report/training"} <= set(events.Tags()["images"])
    (image,) = events.Images("report/em")
    assert image.width > 500 and image.step == result["steps"]
    (sentence,) = events.Tensors("report/sentence/text_summary")
    assert result_sentence(result).encode() in sentence.tensor_proto.string_val


def test_tensorboard_gets_the_config(tmp_path):
    plugin_data = pytest.importorskip("tensorboard.plugins.hparams.plugin_data_pb2")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    assert command_runs.train("logger=tensorboard", "stop.max_steps=1", directory=tmp_path).code == 0
    events = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    content = events.SummaryMetadata("_hparams_/session_start_info").plugin_data.content
    settings = plugin_data.HParamsPluginData.FromString(content).session_start_info.hparams
    assert settings["mask/fraction"].number_value == 0.05 and settings["objective/forget_weight"].number_value == 0.1


def test_localize_logs_its_numbers_and_figures_and_ends_its_run(offline, drawing, tmp_path):
    options = ("analysis=em_nll", "logger=wandb", "accelerator=cpu")
    ended = command_runs.run("localize", *tiny_demo.OVERRIDES, *options, directory=tmp_path)
    assert ended.code == 0, ended.err
    (run,) = recorded(tmp_path)
    (finding,) = command_runs.read_result(tmp_path, "localization.json")["analyses"].values()
    logged = {key: value for step in run.history for key, value in step.items()}
    numbers = {key: value for key, value in logged.items() if key.startswith("localization/em_nll/")}
    assert run.exit_code == 0 and numbers
    assert sum("images/figures" in file for file in run.files) == len(finding["figures"])
    assert numbers["localization/em_nll/auroc/value"] == pytest.approx(finding["numbers"]["auroc"]["value"])
