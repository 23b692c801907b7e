"""A folder and a job belong to one process, and a result is not lost to another command."""

import time

import command_runs
import live_commands
import pytest
import quick_command
from filelock import FileLock

from memunlearn.commands.claims import LOCK, new_folder


def run(*overrides, directory, where="run"):
    """The quick command in this process."""
    return command_runs.run_task(
        quick_command.task, "train", quick_command.WITHOUT_SUMMARY, *overrides, directory=directory, where=where
    )


def test_commands_that_start_in_one_second_have_folders_of_their_own(tmp_path):
    same = ("hydra.run.dir='outputs/${now:%Y}'",)  # the same for longer than a second, so that they surely meet
    processes = [live_commands.start_quick(f"seed={seed}", *same, cwd=tmp_path) for seed in range(3)]
    ends = [live_commands.end(process) for process in processes]
    assert [code for code, _, _ in ends] == [0, 0, 0], ends
    folders = sorted((tmp_path / "outputs").iterdir())
    year = folders[0].name
    assert [folder.name for folder in folders] == [year, f"{year}_2", f"{year}_3"]
    assert sorted(command_runs.read_result(folder)["config"]["seed"] for folder in folders) == [0, 1, 2]
    for folder in folders:
        seed = command_runs.read_result(folder)["config"]["seed"]
        assert f"\nseed: {seed}\n" in (folder / ".hydra" / "config.yaml").read_text()


def test_sweeps_that_start_in_one_second_have_folders_of_their_own(tmp_path):
    same = ("-m", "hydra.sweep.dir='${now:%Y}'")
    processes = [live_commands.start_quick(*same, f"seed={seeds}", cwd=tmp_path) for seeds in ("0,1", "2,3")]
    assert [live_commands.end(process)[0] for process in processes] == [0, 0]
    found = [
        sorted(command_runs.read_result(job)["config"]["seed"] for job in sweep.iterdir() if job.is_dir())
        for sweep in tmp_path.glob("2*")
    ]
    assert sorted(found) == [[0, 1], [2, 3]]


def test_the_default_folder_is_hydras_own(tmp_path):
    code, _, err = live_commands.end(live_commands.start_quick(cwd=tmp_path))
    (folder,) = tmp_path.glob("outputs/????-??-??/??-??-??")
    assert code == 0 and (folder / "result.json").is_file(), err


def test_new_folders_are_new(tmp_path):
    assert [new_folder(tmp_path / "a" / "b").name for _ in range(3)] == ["b", "b_2", "b_3"]


def test_a_folder_in_use_is_refused_and_left_alone(tmp_path):
    process = live_commands.start_quick("hydra.run.dir=here", "seed=1", cwd=tmp_path, gate="never")
    live_commands.wait_for(tmp_path / "here" / "begun", process)
    config = (tmp_path / "here" / ".hydra" / "config.yaml").read_text()
    for overrides in (["seed=2"], ["seed=2", "overwrite=true"], ["resume=true"]):
        assert "is in use by another process" in run(*overrides, directory=tmp_path / "here").the_error()
    assert (tmp_path / "here" / ".hydra" / "config.yaml").read_text() == config
    process.kill()
    process.communicate()
    assert run("seed=2", directory=tmp_path / "here").code == 0  # a killed process holds nothing


def test_a_finished_run_is_not_done_again_nor_replaced(tmp_path):
    assert run("seed=1", directory=tmp_path).code == 0
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    again = run("seed=1", "cache=false", directory=tmp_path)
    assert again.code == 0 and "skipped" in again.out
    other = run("seed=1", "mask=random", directory=tmp_path).the_error()
    assert "result.json" in other and "mask._target_" in other and "overwrite=true" in other
    assert {path: path.read_bytes() for path in before} == before
    assert run("seed=1", "mask=random", "overwrite=true", directory=tmp_path).code == 0
    assert "random" in command_runs.read_result(tmp_path)["config"]["mask"]["_target_"].lower()


@pytest.mark.parametrize("name", ["result.json", "evaluation.json", "localization.json"])
def test_a_result_of_another_command_is_not_lost(tmp_path, name):
    (tmp_path / name).write_text('{"config": {"seed": 1}}')
    (tmp_path / "paragraphs.parquet").write_text("a table")
    error = run("seed=1", directory=tmp_path).the_error()
    assert name in error and "overwrite=true" in error
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([name, "paragraphs.parquet", LOCK])
    assert run("seed=1", "overwrite=true", directory=tmp_path).code == 0
    assert [path.name for path in tmp_path.glob("*.json")] == ["result.json"]


def test_a_result_that_cannot_be_read_is_named(tmp_path):
    (tmp_path / "result.json").write_text('{"config": ')
    assert f"{tmp_path / 'result.json'} is there already" in run(directory=tmp_path).the_error()


@pytest.mark.parametrize("outcome", ["result.json", "evaluation.json"])
def test_two_processes_share_a_sweep(tmp_path, outcome):
    """Each job is done once, and both end when all are done. evaluate.py has no skipping of its own."""
    sweep = ("-m", "seed=range(0,4)", "hydra.sweep.dir=here")
    processes = [live_commands.start_quick(*sweep, cwd=tmp_path, gate="gate", OUTCOME=outcome) for _ in range(2)]
    wait_until(lambda: len(live_commands.journal(tmp_path)) == 2, processes)
    live_commands.open_gate(tmp_path)
    ends = [live_commands.end(process) for process in processes]
    assert [code for code, _, _ in ends] == [0, 0] and not any("Traceback" in err for _, _, err in ends), ends
    happened = live_commands.journal(tmp_path)
    for what in ("begun", "ended"):
        assert sorted(seed for _, one, seed in happened if one == what) == [0, 1, 2, 3]
    assert len({process for process, _, _ in happened}) == 2
    folders = [path for path in (tmp_path / "here").iterdir() if path.is_dir()]
    assert len(folders) == 4 and all((folder / outcome).is_file() for folder in folders)


def test_a_job_of_a_killed_process_is_free_at_once(tmp_path):
    sweep = ("-m", "seed=0,1", "hydra.sweep.dir=here")
    first = live_commands.start_quick(*sweep, cwd=tmp_path, gate="never")
    live_commands.wait_for(tmp_path / "here" / "0" / "begun", first)
    second = live_commands.start_quick(*sweep, cwd=tmp_path)
    assert b"Launching" in second.stdout.readline()
    wait_until(lambda: (1, "ended") in [(seed, what) for _, what, seed in live_commands.journal(tmp_path)], [second])
    time.sleep(0.3)
    assert second.poll() is None and not (tmp_path / "here" / "0" / "result.json").exists()  # it waits for the first
    first.kill()
    first.communicate()
    code, out, err = live_commands.end(second)
    assert code == 0 and "other processes are at work on 1 jobs" in out, err
    assert [seed for _, what, seed in live_commands.journal(tmp_path) if what == "ended"] == [1, 0]


def test_a_job_that_failed_elsewhere_is_not_tried_again(tmp_path):
    sweep = ("-m", "seed=0,1", "hydra.sweep.dir=here")
    first = live_commands.start_quick(*sweep, cwd=tmp_path, gate="first", FAILING="0")
    live_commands.wait_for(tmp_path / "here" / "0" / "begun", first)
    second = live_commands.start_quick(*sweep, cwd=tmp_path, gate="second", FAILING="0")
    live_commands.wait_for(tmp_path / "here" / "1" / "begun", second)
    live_commands.open_gate(tmp_path, "first")
    live_commands.wait_for(tmp_path / "here" / "0" / "error.json", first)
    live_commands.open_gate(tmp_path, "second")
    ends = [live_commands.end(process) for process in (first, second)]
    assert [code for code, _, _ in ends] == [2, 2], ends
    assert all(err.count("0 (seed=0): this seed is not liked") == 1 for _, _, err in ends)
    assert sorted(seed for _, what, seed in live_commands.journal(tmp_path) if what == "begun") == [0, 1]


def wait_until(true, processes, seconds=60):
    last = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < last and all(process.poll() is None for process in processes)
        time.sleep(0.02)


def test_a_disk_without_locks_is_said(tmp_path, monkeypatch):
    import errno

    def refuse(self, *arguments, **settings):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(FileLock, "acquire", refuse)
    ended = run(directory=tmp_path)
    assert ended.code == 0 and f"warning: {tmp_path} is on a disk without file locks" in ended.err


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path, monkeypatch):
    import errno

    def refuse(self, *arguments, **settings):
        raise OSError(errno.EROFS, "Read-only file system", str(tmp_path / LOCK))

    monkeypatch.setattr(FileLock, "acquire", refuse)
    assert "Read-only file system" in run(directory=tmp_path).the_error() and not (tmp_path / ".hydra").exists()
