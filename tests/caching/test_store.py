"""A store: each entry is made once, what is read was written, and whatever happens to an entry is noticed."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
import torch

from memunlearn.caching import entries, store
from memunlearn.caching.entries import RECORD, TENSORS
from memunlearn.caching.store import Store, cached

KEY = {"what": "test", "seed": 3, "options": {"quantile": 0.5}}
VALUE = {"b": torch.tensor([[1.5, -0.0], [float("nan"), 1e-40]]), "a": torch.tensor([3, 1, 2]), "none": torch.empty(0, 4)}
HERE = Path(__file__).parent


@dataclass
class Producer:
    """Counts how often it had to work."""

    calls: list = field(default_factory=list)

    def __call__(self, folder):
        self.calls.append(folder)
        return VALUE


def fetch(where, make, key=KEY):
    return cached(where, "thing", key, make=make, pack=dict, unpack=dict)


def same(one, other):
    return one.keys() == other.keys() and all(
        one[name].dtype == other[name].dtype
        and one[name].shape == other[name].shape
        and one[name].numpy().tobytes() == other[name].numpy().tobytes()
        for name in other
    )


@pytest.fixture
def where(tmp_path):
    return Store(tmp_path / "store")


@pytest.fixture
def filled(where):
    """The store, with the entry of KEY."""
    fetch(where, Producer())
    return where


def names(where):
    return sorted(path.name for path in where.directory.iterdir() if path.suffix != ".lock")


def test_what_is_kept_is_made_once_and_comes_back_to_the_bit(where, capsys):
    make = Producer()
    first, second = fetch(where, make), fetch(where, make)
    assert len(make.calls) == 1 and where.reused == ["thing"]
    assert same(first, VALUE) and same(second, VALUE)
    third = fetch(Store(where.directory), make)  # another job
    assert len(make.calls) == 1 and same(third, VALUE)
    assert names(where) == [where.place(KEY).name] and capsys.readouterr() == ("", "")


def test_the_key_is_written_out(filled):
    assert json.loads((filled.place(KEY) / RECORD).read_text())["key"] == KEY


@pytest.mark.parametrize(
    "other", [{**KEY, "seed": 4}, {**KEY, "options": {"quantile": 0.25}}, {**KEY, "more": None}, {"what": "test"}], ids=str
)
def test_another_key_is_another_entry(filled, other):
    make = Producer()
    fetch(filled, make, other)
    assert len(make.calls) == 1 and len(names(filled)) == 2


def test_another_layout_is_another_entry(filled, monkeypatch, capsys):
    monkeypatch.setattr(entries, "LAYOUT", entries.LAYOUT + 1)
    make = Producer()
    fetch(filled, make)
    assert len(make.calls) == 1 and capsys.readouterr().err == ""


def test_without_a_store_everything_is_made():
    make = Producer()
    assert fetch(None, make) is VALUE and fetch(None, make) is VALUE and make.calls == [None, None]


def test_changing_what_was_read_changes_no_entry(filled):
    fetch(filled, Producer())["a"][0] = 99
    assert same(fetch(filled, Producer()), VALUE)


def alter_byte(path, place):
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)


def another_entry(folder):
    """What belongs to another key, whole in itself."""
    other = Store(folder.parent.parent / "other")
    fetch(other, lambda _: {"a": torch.tensor([7])}, {**KEY, "seed": 4})
    shutil.rmtree(folder)
    shutil.copytree(other.place({**KEY, "seed": 4}), folder)


DAMAGES = {
    "tensors cut short": lambda folder: os.truncate(folder / TENSORS, (folder / TENSORS).stat().st_size - 3),
    "tensors empty": lambda folder: os.truncate(folder / TENSORS, 0),
    "tensors longer": lambda folder: (folder / TENSORS).write_bytes((folder / TENSORS).read_bytes() + b"\0"),
    "a bit of a value": lambda folder: alter_byte(folder / TENSORS, -1),
    "a bit of the header": lambda folder: alter_byte(folder / TENSORS, 20),
    "tensors gone": lambda folder: (folder / TENSORS).unlink(),
    "record gone": lambda folder: (folder / RECORD).unlink(),
    "record cut short": lambda folder: os.truncate(folder / RECORD, 40),
    "record empty": lambda folder: os.truncate(folder / RECORD, 0),
    "record of something else": lambda folder: (folder / RECORD).write_text("[1]"),
    "record without a key": lambda folder: (folder / RECORD).write_text("{}"),
    "record not text": lambda folder: (folder / RECORD).write_bytes(b"\xff\xfe\x00"),
    "key altered": lambda folder: (folder / RECORD).write_text((folder / RECORD).read_text().replace('"seed": 3', '"seed": 4')),
    "another key's entry": another_entry,
    "an empty folder": lambda folder: [path.unlink() for path in folder.iterdir()],
    "a file in its place": lambda folder: (shutil.rmtree(folder), folder.write_text("x")),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES.keys())
def test_a_damaged_entry_is_noticed_said_and_made_again(filled, damage, capsys):
    place = filled.place(KEY)
    damage(place)
    make = Producer()
    assert same(fetch(filled, make), VALUE) and len(make.calls) == 1 and filled.reused == []
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "the thing in" in said and "is damaged" in said and "again" in said
    assert same(fetch(filled, make), VALUE) and len(make.calls) == 1
    assert capsys.readouterr().err == "" and names(filled) == [place.name]


def test_what_fails_leaves_no_entry(where):
    def failing(folder):
        (folder / "half").write_text("of it")
        raise RuntimeError("interrupted")

    with pytest.raises(RuntimeError, match="interrupted"):
        fetch(where, failing)
    assert names(where) == []
    assert same(fetch(where, Producer()), VALUE)


def test_an_error_of_the_producer_is_its_own(where, capsys):
    """An OSError too: it must not be taken for one of the store."""
    calls = []

    def failing(folder):
        calls.append(folder)
        raise OSError("no such file")

    with pytest.raises(OSError, match="no such file"):
        fetch(where, failing)
    assert len(calls) == 1 and capsys.readouterr().err == ""


def test_a_full_disk_does_not_end_the_run(where, monkeypatch, capsys):
    def failing(tensors, path):
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    make = Producer()
    with monkeypatch.context() as patched:
        patched.setattr(entries, "save_file", failing)
        assert fetch(where, make) is VALUE
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "No space left" in said and "going on without" in said
    assert names(where) == [] and same(fetch(where, make), VALUE) and len(make.calls) == 2


def test_a_store_that_cannot_be_made_is_gone_without(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    make = Producer()
    assert fetch(Store(tmp_path / "file" / "store"), make) is VALUE and make.calls == [None]
    assert capsys.readouterr().err.count("going on without") == 1


def test_an_entry_on_a_read_only_disk_is_used(filled, monkeypatch):
    def refused(path):
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(store, "FileLock", refused)
    make = Producer()
    assert same(fetch(filled, make), VALUE) and make.calls == []


def test_large_values_lie_in_files_and_stay_there(where):
    """As a producer makes them, memory-mapped in the folder that it is given; and as they are read."""

    def make(folder):
        mapped = np.memmap(folder / "large.f32", dtype=np.float32, mode="w+", shape=(300, 7))
        mapped[:] = np.arange(2100).reshape(300, 7)
        return {"large": torch.from_numpy(mapped)}

    tensors = fetch(where, make)
    assert torch.equal(tensors["large"], torch.arange(2100.0).view(300, 7))
    assert sorted(path.name for path in where.place(KEY).iterdir()) == sorted([RECORD, TENSORS])
    maps = Path("/proc/self/maps")
    if maps.is_file():
        assert str(where.place(KEY) / TENSORS) in maps.read_text()


PROCESS = """
import os, signal, sys, time
from pathlib import Path
import torch
from memunlearn.caching import entries
from memunlearn.caching.store import Store, cached

folder, what = Path(sys.argv[1]), sys.argv[2]
store = Store(folder / "store")

def make(_):
    (folder / f"made-{os.getpid()}").touch()
    while what == "slow" and not (folder / "go").exists():
        time.sleep(0.01)
    return {"a": torch.tensor([5, 6])}

def killed(tensors, path):
    path.write_bytes(b"half of it")
    os.kill(os.getpid(), signal.SIGKILL)

if what == "killed":
    entries.save_file = killed
tensors = cached(store, "thing", {"what": "shared"}, make=make, pack=dict, unpack=dict)
print(tensors["a"].tolist(), store.reused, flush=True)
"""


def start(folder, what):
    arguments = [sys.executable, "-c", PROCESS, str(folder), what]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(arguments, env=environment, cwd=HERE.parents[1], stdout=subprocess.PIPE, text=True)


def makers(folder):
    return len(list(folder.glob("made-*")))


def test_of_two_processes_one_computes_and_the_other_waits(tmp_path):
    first = start(tmp_path, "slow")
    deadline = time.monotonic() + 120
    while not makers(tmp_path):
        assert time.monotonic() < deadline and first.poll() is None
        time.sleep(0.02)
    second = start(tmp_path, "slow")
    assert "waiting for another process" in second.stdout.readline()
    (tmp_path / "go").touch()
    assert [first.communicate()[0], second.communicate()[0]] == ["[5, 6] []\n", "[5, 6] ['thing']\n"]
    assert first.returncode == second.returncode == 0 and makers(tmp_path) == 1


def test_a_process_killed_while_it_writes_leaves_no_entry_and_no_lock(tmp_path, capsys):
    killed = start(tmp_path, "killed")
    killed.communicate()
    assert killed.returncode == -signal.SIGKILL
    where, make, key = Store(tmp_path / "store"), Producer(), {"what": "shared"}
    left = names(where)
    assert len(left) == 1 and left[0].startswith(".tmp-") and left[0].endswith(where.place(key).name)
    assert same(fetch(where, make, key), VALUE) and len(make.calls) == 1 and where.reused == []
    assert names(where) == [where.place(key).name] and capsys.readouterr() == ("", "")
