"""A takedown that is killed while the model unlearns goes on there, and ends as if nothing had happened."""

import signal

import command_runs
import interruptions
import named_letters
import pytest
import torch
from safetensors.torch import load_file

HERE = command_runs.ROOT / "tests" / "commands"


@pytest.mark.slow
def test_killed_in_the_training_the_same_command_goes_on_to_the_bit(tiny_folder, tmp_path):
    letters = named_letters.written(tmp_path, tiny_folder)
    further = f"unlearn=[{named_letters.UNLEARN},{interruptions.OVERRIDE},{interruptions.ALLOWED}]"

    def taken(folder, **variables):
        overrides = (*named_letters.overrides(letters, tiny_folder), further)
        arguments = ("-m", "memunlearn", "takedown", *overrides, f"hydra.run.dir={tmp_path / folder}")
        return command_runs.real(*arguments, directory=tmp_path / folder, PYTHONPATH=f"{command_runs.ROOT}:{HERE}", **variables)

    whole = taken("whole")
    assert whole.code == 0, whole.err
    steps = command_runs.read_result(whole.directory / "2-unlearn")["steps"]
    killed = taken("killed", INTERRUPT_AFTER=str(steps // 2), INTERRUPT_BY="kill")
    assert killed.code == -signal.SIGKILL
    assert not (killed.directory / "takedown.json").exists() and not (killed.directory / "model").exists()
    searched = (killed.directory / "1-find" / "find.json").stat().st_mtime_ns
    again = taken("killed")
    assert again.code == 0, again.err
    assert "is complete already" in again.out.split("\n2-unlearn: ")[0]
    assert (killed.directory / "1-find" / "find.json").stat().st_mtime_ns == searched
    assert command_runs.read_result(killed.directory / "2-unlearn")["config"]["resume"] is True
    one, other = (load_file(ended.directory / "model" / "model.safetensors") for ended in (whole, again))
    assert one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)
    assert command_runs.read_result(again.directory, "takedown.json")["texts"]["left"] == []
