"""metrics.csv while it grows: Lightning's bytes, whole at every moment."""

import os

import pytest
import torch
from lightning.pytorch.loggers import CSVLogger

from memunlearn.commands.curve_file import CurveFile, curve_of
from memunlearn.errors import UserError
from memunlearn.results.curve import read_curve

LOGGED = [
    ({"check/em": 9.25, "check/kl": 0.1}, 1),
    ({"train/loss": torch.tensor(0.1), "epoch": 0}, 0),
    ({"train/loss": torch.tensor(float("nan")), "epoch": 1}, 1),
    ({"check/em": 3, "other": 1e-9}, 2),
    ({"check/em": 1.0}, 4),
]


def test_the_bytes_are_those_of_lightnings_logger_however_it_is_gone_on_with(tmp_path):
    theirs = CSVLogger(tmp_path, name="theirs", version="", flush_logs_every_n_steps=1)
    for metrics, step in LOGGED:
        theirs.log_metrics(metrics, step)
    theirs.save()
    expected = (tmp_path / "theirs" / "metrics.csv").read_bytes()
    for stopped in range(len(LOGGED)):
        ours = CurveFile(tmp_path)
        for metrics, step in LOGGED[:stopped]:
            ours.log_metrics(metrics, step)
        ours = CurveFile(tmp_path, ours.rows)
        for metrics, step in LOGGED[stopped:]:
            ours.log_metrics(metrics, step)
            assert len(read_curve(ours.path)) == len(ours.rows)
        assert ours.path.read_bytes() == expected


def test_a_line_for_which_there_is_no_room_leaves_the_file_as_it_was(tmp_path, monkeypatch):
    curve, real = CurveFile(tmp_path), os.write
    curve.log_metrics({"a": 1.5}, 0)
    before = curve.path.read_bytes()
    monkeypatch.setattr("os.write", lambda handle, content: real(handle, content[:3]))
    with pytest.raises(OSError, match="metrics.csv"):
        curve.log_metrics({"a": 2.5}, 1)
    assert curve.path.read_bytes() == before


@pytest.mark.parametrize("rows", [None, 3, [1], [{"a": 1.5}], [{"step": 1.5}], [{"step": 1, "a": "b"}], [{"step": 1, 2: 3}]])
def test_a_checkpoint_without_a_curve_is_named(tmp_path, rows):
    with pytest.raises(UserError, match="last.ckpt holds no training curve"):
        curve_of({"curve": rows}, tmp_path / "last.ckpt", tmp_path / "metrics.csv")
    assert curve_of({"curve": [{"step": 0, "a": 1.5}]}, tmp_path, tmp_path / "metrics.csv") == [{"step": 0, "a": 1.5}]


def test_an_earlier_version_s_curve_is_in_metrics_csv_but_for_the_checkpoint_s_own_row(tmp_path):
    lines = ["step,train/loss,check/em", "0,1.5,", "1,,7", "1,1.25,", "2,,6", "2,1.0,", "3,,5", "4,0."]
    (tmp_path / "metrics.csv").write_text("\n".join(lines))
    kept = {"global_step": 2, "curve_row": {"step": 1, "train/loss": 1.25}}
    expected = [
        {"step": 0, "train/loss": 1.5},
        {"step": 1, "check/em": 7.0},
        {"step": 1, "train/loss": 1.25},
        {"step": 2, "check/em": 6.0},
    ]
    assert curve_of(kept, tmp_path / "last.ckpt", tmp_path / "metrics.csv") == expected
    (tmp_path / "metrics.csv").write_text("\n".join(lines[:3]) + "\n")  # killed before the row was logged
    assert curve_of(kept, tmp_path / "last.ckpt", tmp_path / "metrics.csv") == expected[:3]
