"""optimizer=kfac and attribution=kfac through train.py: what is said, kept, and gone on with."""

import command_runs
import pytest
from safetensors.torch import load_file

from memunlearn.curvature import budget

FEW = ("stop.max_steps=4", "stop.every=2", "optimizer=kfac")


def test_memory_is_said_before_work_and_curvature_is_kept(tmp_path):
    settings = ("mask=all", *FEW, "optimizer.relative_norm=0.1", "optimizer.max_kl=null")
    first = command_runs.train(*settings, "cache=true", directory=tmp_path / "first")
    again = command_runs.train(*settings, "optimizer.damping=0.1", directory=tmp_path / "again")
    assert first.code == again.code == 0, first.err + again.err
    assert first.result["kept_step"] > 0 and again.result["kept_step"] > 0
    assert first.out.index("curvature of 12 weight matrices: ") < first.out.index("forget ")
    assert "curvature" in again.out.partition("reused from the cache: ")[2].partition("\n")[0]
    one, other = (load_file(folder / "patch.safetensors") for folder in (tmp_path / "first", tmp_path / "again"))
    assert one.keys() == other.keys() and any(not one[name].equal(other[name]) for name in one)
    assert first.result["mask"]["k"] == first.result["mask"]["eligible"]


def test_a_mask_of_what_moves_furthest(tmp_path):
    ended = command_runs.train("mask=gradient", "attribution=kfac", *FEW, directory=tmp_path)
    assert ended.code == 0, ended.err
    result = ended.result
    assert result["mask"]["k"] == round(0.05 * result["mask"]["eligible"]) and result["steps"] >= 1
    assert result["config"]["attribution"]["_target_"].endswith("Preconditioned")


def test_one_paragraph_at_a_time_the_curvature_is_measured_once(tmp_path, capsys):
    settings = ("protocol=per_paragraph", "protocol.trials=2", "protocol.steps=2", "protocol.retain_batch=2", "cache=false")
    ended = command_runs.train(*settings, "optimizer=kfac", directory=tmp_path)
    assert ended.code == 0, ended.err
    assert ended.out.count("measuring curvature") == 1
    assert len(list((tmp_path / "patches").glob("*.safetensors"))) == 2


def test_what_the_device_has_no_room_for_is_refused_in_one_line(tmp_path, monkeypatch):
    monkeypatch.setattr(budget.os, "sysconf", lambda name: 10)
    line = command_runs.train(*FEW, directory=tmp_path).the_error()
    assert "optimizer=kfac needs" in line and "optimizer.dtype=bfloat16" in line and "mask.components=" in line
    assert not (tmp_path / "result.json").exists()


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("optimizer.max_kl=0", "optimizer.max_kl=0 and optimizer.relative_norm=0.015: each must be"),
        ("optimizer.sparse=drop", "optimizer.sparse=drop is not known"),
        ("optimizer.device=toaster", "optimizer.device=toaster is not a device"),
    ],
)
def test_settings_that_cannot_work_are_one_line(tmp_path, override, said):
    assert said in command_runs.train(*FEW, override, directory=tmp_path).the_error()
