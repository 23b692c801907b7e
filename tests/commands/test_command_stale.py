"""result.json is there only if the run that it tells of is complete."""

import command_runs
import pytest
import torch

OLD = {
    "result.json": '{"old": true}',
    "evaluation.json": '{"old": true}',
    "patch.safetensors": "an earlier patch",
    "report.html": "an earlier page",
    "metrics.csv": "step\n1\n",
    "paragraphs.parquet": "an earlier table",
    "notes.txt": "the user's own",
    "model/config.json": "{}",
}

GONE = ("result.json", "evaluation.json")  # they say that the folder is complete


@pytest.fixture
def folder(tmp_path):
    """The folder of an earlier run."""
    (tmp_path / "model").mkdir()
    for name, content in OLD.items():
        (tmp_path / name).write_text(content)
    return tmp_path


@pytest.mark.parametrize(
    "mistake",
    [["model=local", "model.name_or_path=/no/where"], ["batch_size=0"], ["mask.layers=[9]"], ["paragraphs=files"], ["seed=a"]],
    ids=str,
)
def test_a_run_that_is_refused_leaves_no_stale_result_and_all_other_files(folder, mistake):
    assert command_runs.train("overwrite=true", *mistake, directory=folder).code == 2
    assert not (folder / "result.json").exists()
    kept = {name: (folder / name).read_text() for name in OLD if name not in (*GONE, "metrics.csv")}
    assert kept == {name: content for name, content in OLD.items() if name in kept}


def test_the_stale_result_is_gone_before_work_starts(folder, monkeypatch):
    found = []

    def building(*arguments, **settings):
        found.append((folder / "result.json").exists())
        raise MemoryError

    monkeypatch.setattr("memunlearn.models.loading.ModelSource.load", building)
    assert "batch_size" in command_runs.train("overwrite=true", directory=folder).the_error()
    assert found == [False] and not (folder / "result.json").exists()


def test_a_run_that_fails_while_training_leaves_no_result(folder, monkeypatch):
    def failing(*arguments, **settings):
        assert not (folder / "result.json").exists()
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr("memunlearn.objectives.contrastive.Unlearn.__call__", failing)
    assert "batch_size" in command_runs.train("overwrite=true", directory=folder).the_error()
    assert not (folder / "result.json").exists() and (folder / "notes.txt").read_text() == OLD["notes.txt"]


def test_the_result_comes_last(folder, monkeypatch):
    """Where the table of paragraphs cannot be written there is no result either, and nothing unfinished."""

    def failing(*arguments, **settings):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("memunlearn.commands.run_folder.write_parquet", failing)
    line = command_runs.train("overwrite=true", directory=folder).the_error()
    assert "No space left on device" in line
    assert not (folder / "result.json").exists()
    assert not [path.name for path in folder.iterdir() if path.name.startswith(".tmp") or "unfinished" in path.name]


def test_a_complete_run_replaces_what_an_earlier_one_left(folder):
    assert command_runs.train("overwrite=true", directory=folder).code == 0
    result = command_runs.read_result(folder)
    assert result["schema"] == 1 and "old" not in result
    assert not (folder / "model").exists()  # of another model: this run saved none
    assert len(command_runs.read_rows(folder)) == sum(stats["n"] for stats in result["before"].values() if stats)
    assert (folder / "notes.txt").read_text() == OLD["notes.txt"]


def test_evaluate_in_place_of_a_run_leaves_no_stale_result_and_all_other_files(folder):
    assert command_runs.evaluate("overwrite=true", "patch=nowhere", directory=folder).code == 2
    assert not (folder / "evaluation.json").exists() and not (folder / "result.json").exists()
    kept = {name: (folder / name).read_text() for name in OLD if name not in GONE}
    assert kept == {name: content for name, content in OLD.items() if name in kept}


def test_hidden_states_on_disk_do_not_outlive_the_run(tmp_path, monkeypatch):
    monkeypatch.setattr("memunlearn.scoring.forward.MEMORY_MAP_ABOVE", 0)
    for _ in range(2):
        assert command_runs.train("overwrite=true", directory=tmp_path).code == 0
        sizes = {path.name: path.stat().st_size for path in (tmp_path / "checkpoints").iterdir()}
        assert sorted(sizes) == ["command.txt", "config.yaml", "inputs.json", "last.ckpt"], sizes
