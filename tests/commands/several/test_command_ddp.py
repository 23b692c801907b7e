"""trainer=ddp: two processes on the CPU do what one does, to rounding, and end together, whatever ends one of them."""

import csv
import os
import re
import signal
import sys
import time
from pathlib import Path

import command_runs
import failing_process
import live_commands
import pytest
import torch
from safetensors.torch import load_file

pytestmark = pytest.mark.slow

TWO = ("trainer=ddp", "trainer.devices=2")
# An epoch ends with a step of fewer rows, and 7 is odd.
STEPS = ("stop.max_steps=8", "stop.forget_em=0")
NO_RULE = ("stop=none", "trainer.max_steps=8")
ROWS = ("batch_size=7", "objective.forget_weight=0.05")
LONGER = (*ROWS, *STEPS)
HERE = Path(__file__).parent


def same_to_rounding(folder, other, near=1e-5):
    """Weights, table, curve and numbers, of which no two may differ by more than rounding."""
    deltas, others = (load_file(place / "patch.safetensors") for place in (folder, other))
    assert deltas.keys() == others.keys()
    for name, delta in deltas.items():
        torch.testing.assert_close(delta, others[name], rtol=1e-3, atol=near)
    rows, other_rows = command_runs.read_rows(folder), command_runs.read_rows(other)
    assert len(rows) == len(other_rows)
    for row, other_row in zip(rows, other_rows, strict=True):
        assert_near(row, other_row, near)
    assert_near(curve(folder), curve(other), near)
    results = [command_runs.read_result(place) for place in (folder, other)]
    for name in ("steps", "kept_step", "stopped_because", "mask", "kept_check", "before", "after", "notes"):
        assert_near(results[0][name], results[1][name], near)


def assert_near(found, expected, near):
    if isinstance(found, dict):
        assert found.keys() == expected.keys()
        for name in found:
            assert_near(found[name], expected[name], near)
    elif isinstance(found, list | tuple):
        assert len(found) == len(expected)
        for one, other in zip(found, expected, strict=True):
            assert_near(one, other, near)
    elif isinstance(found, float) and expected is not None:
        assert found == pytest.approx(expected, rel=1e-3, abs=10 * near)
    else:
        assert found == expected


def curve(folder):
    with open(folder / "metrics.csv", newline="") as file:
        return [{key: float(cell) for key, cell in row.items() if cell} for row in csv.DictReader(file)]


@pytest.mark.parametrize(
    ("overrides", "devices"),
    [
        ((), 2),
        ((), 3),
        (("optimizer=kfac", "mask=all", "paragraphs.protect=0.5", *NO_RULE), 2),
        (("objective=edit", "accumulate=2", "mask=random", "optimizer=sgd", "optimizer.lr=0.05", "batch_size=3", *NO_RULE), 2),
        (("objective=rmu", "mask=all", *NO_RULE), 2),
        (("protocol=lora", "protocol.rank=2", "mask=all", *NO_RULE), 2),
    ],
    ids=[
        "adam and a mask",
        "three processes",
        "kfac and all weights",
        "an edit, accumulated",
        "deltas without gradients",
        "lora",
    ],
)
def test_processes_do_what_one_does(tmp_path, overrides, devices):
    length = () if NO_RULE[0] in overrides else STEPS
    one = command_runs.train(*ROWS, *length, *overrides, directory=tmp_path / "one")
    more = command_runs.train(
        *ROWS, *length, *overrides, "trainer=ddp", f"trainer.devices={devices}", directory=tmp_path / "more"
    )
    assert one.code == more.code == 0, one.err + more.err
    assert one.result["steps"] == 8 and one.result["kept_step"] != 0
    same_to_rounding(tmp_path / "more", tmp_path / "one")
    assert sorted(path.name for path in (tmp_path / "more").rglob("*")) == sorted(
        path.name for path in (tmp_path / "one").rglob("*")
    )


def test_in_bf16_processes_do_what_one_does_but_for_its_rounding(tmp_path):
    """Each process's part of a gradient is rounded to 8 bits before they are added."""
    overrides = ("trainer.precision=bf16-mixed", "mask=all", "optimizer=sgd", "optimizer.lr=0.01", *ROWS, *NO_RULE)
    trained = []
    for name, devices in (("one", ()), ("two", TWO)):
        ended = command_runs.train(*overrides, *devices, directory=tmp_path / name)
        assert ended.code == 0, ended.err
        deltas = load_file(tmp_path / name / "patch.safetensors")
        trained.append(torch.cat([deltas[weight].flatten() for weight in sorted(deltas)]))
    one, two = trained
    assert 0 < float((two - one).norm()) < 0.15 * float(one.norm())


def test_one_process_by_this_strategy_is_one_process(tmp_path):
    for name, overrides in (("plain", ()), ("ddp", ("trainer=ddp", "trainer.devices=1"))):
        assert command_runs.train(*LONGER, *overrides, directory=tmp_path / name).code == 0
    assert (tmp_path / "plain" / "metrics.csv").read_bytes() == (tmp_path / "ddp" / "metrics.csv").read_bytes()
    deltas, others = (load_file(tmp_path / name / "patch.safetensors") for name in ("plain", "ddp"))
    assert all(deltas[name].equal(others[name]) for name in others)


def test_the_jobs_of_a_sweep_have_processes_each(tmp_path):
    ended = command_runs.train(*TWO, "seed=0,1", directory=tmp_path, where="sweep")
    assert ended.code == 0, ended.err
    results = [command_runs.read_result(tmp_path / str(job)) for job in (0, 1)]
    assert [result["seed"] for result in results] == [0, 1]
    assert command_runs.train(*TWO, "seed=0,1", directory=tmp_path, where="sweep").out.count("skipped") == 2


@pytest.fixture
def failing(monkeypatch):
    """failing(number, how): process `number` ends after step 3."""

    def failing(number, how):
        monkeypatch.syspath_prepend(HERE)
        for name, value in (("FAIL_AFTER", "3"), ("FAIL_IN", str(number)), ("FAIL_BY", how)):
            monkeypatch.setenv(name, value)

    return failing


@pytest.mark.parametrize("number", [0, 1])
def test_a_mistake_in_one_process_is_one_line_and_ends_both(tmp_path, failing, number):
    failing(number, "mistake")
    line = command_runs.train(*LONGER, *TWO, failing_process.OVERRIDE, directory=tmp_path).the_error()
    assert line == "error: this process is not liked: use another"
    left_nothing(tmp_path)


def test_a_process_that_is_killed_is_named(tmp_path, failing):
    failing(1, "kill")
    line = command_runs.train(*LONGER, *TWO, failing_process.OVERRIDE, directory=tmp_path).the_error()
    assert line.startswith("error: process 1 of 2 was ended by SIGKILL: ")
    left_nothing(tmp_path)


def test_a_fault_of_ours_in_another_process_keeps_its_traceback(tmp_path, failing):
    failing(1, "fault")
    with pytest.raises(Exception, match=".") as raised:
        command_runs.train(*LONGER, *TWO, failing_process.OVERRIDE, directory=tmp_path)
    assert any("ZeroDivisionError: a fault of ours" in note and "Traceback" in note for note in raised.value.__notes__)
    left_nothing(tmp_path)


def left_nothing(folder):
    """But the checkpoint, and what is needed to go on from it."""
    assert not (folder / "result.json").exists()
    assert not [path for path in folder.rglob("*") if ".tmp-" in path.name]
    assert workers_of(folder) == []


def workers_of(folder):
    """The processes that work, or wait, in this folder."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_bytes()
            maps = (process / "maps").read_text() if b"several.worker" in words else ""
        except OSError:  # ended meanwhile
            continue
        if str(folder) in maps:  # the file with what is known of the base model
            found.append(int(process.name))
    return found


@pytest.mark.parametrize("again", [("trainer.devices=3",), ("trainer.devices=1",)])
def test_a_killed_run_goes_on_with_any_number_of_processes(tmp_path, failing, monkeypatch, again):
    undisturbed = command_runs.train(*LONGER, directory=tmp_path / "undisturbed")
    assert undisturbed.code == 0, undisturbed.err
    failing(0, "kill")
    folder = tmp_path / "killed"
    overrides = (*command_runs.training(*LONGER), *TWO, failing_process.OVERRIDE, f"hydra.run.dir={folder}")
    killed = command_runs.real("train.py", *overrides, PYTHONPATH=os.pathsep.join(sys.path))
    assert killed.code == -signal.SIGKILL, killed.err
    monkeypatch.delenv("FAIL_AFTER")
    all_end(folder)
    ended = command_runs.run("train", "resume=true", failing_process.ALLOWED, *again, directory=folder)
    assert ended.code == 0, ended.err
    same_to_rounding(folder, tmp_path / "undisturbed")
    assert not [path for path in folder.rglob("*") if ".tmp-" in path.name]


def all_end(folder, seconds=20.0):
    last = time.monotonic() + seconds
    while (left := workers_of(folder)) and time.monotonic() < last:
        time.sleep(0.1)
    assert not left


def test_told_to_end_all_end(tmp_path):
    long = ("stop.max_steps=100000", "stop.forget_em=0", "stop.max_kl=1000")
    script = command_runs.ROOT / "train.py"
    process = live_commands.start(script, *command_runs.training(*long), *TWO, "hydra.run.dir=here", cwd=tmp_path)
    live_commands.wait_for(tmp_path / "here" / "checkpoints" / "last.ckpt", process, 120)
    assert len(workers_of(tmp_path)) == 1
    code, _, err = live_commands.interrupt(process, signal.SIGTERM)
    assert code == 128 + signal.SIGTERM and "Traceback" not in err, err
    (line,) = [line for line in err.splitlines() if line.startswith("interrupted by ")]
    assert re.search(r"go on with `python .* resume=true", line)
    left_nothing(tmp_path)
