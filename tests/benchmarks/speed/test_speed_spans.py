"""Where a run's time goes: every second belongs to one part."""

import json
import sys
from pathlib import Path

import pytest

from benchmarks.speed import spans
from benchmarks.speed.spans import PARTS, Spans


def wound(*times):
    return Spans(iter(times).__next__)


def test_a_part_within_a_part_counts_for_itself_alone():
    watching = wound(0, 1, 4, 10)
    inner = watching.watched("inner", lambda: "said")
    outer = watching.watched("outer", lambda: inner())
    assert outer() == "said" and watching.seconds == {"inner": 3, "outer": 7}


def test_a_part_that_is_done_again_adds_up_and_one_that_fails_counts():
    watching = wound(0, 1, 5, 7)

    def fails():
        raise KeyError

    with pytest.raises(KeyError):
        watching.watched("part", fails)()
    watching.watched("part", lambda: None)()
    assert watching.seconds == {"part": 3} and watching._within == []


def test_every_part_is_there_to_be_watched(monkeypatch):
    watching = Spans()
    for where in PARTS:
        module, _, path = where.partition(":")
        holder = sys.modules.get(module) or __import__(module, fromlist=["_"])
        for name in path.split(".")[:-1]:
            holder = getattr(holder, name)
        name = path.split(".")[-1]
        monkeypatch.setattr(holder, name, getattr(holder, name))  # which is put back afterwards
        before = getattr(holder, name)
        watching.watch(where, "part")
        assert getattr(holder, name).__wrapped__ is before


def test_the_parts_add_up_to_the_whole(monkeypatch, tmp_path):
    monkeypatch.setattr(spans, "PARTS", {})
    ran = []
    monkeypatch.setattr("memunlearn.commands.apps.run", lambda command: ran.append((command, sys.argv)))
    monkeypatch.setattr(sys, "argv", ["kept"])
    out = tmp_path / "spans.json"
    spans.main(out, ["seed=3"])
    assert ran == [("train", ["train.py", "seed=3"])]
    found = json.loads(Path(out).read_text())
    assert list(found) == ["imports", "everything else"] and all(value >= 0 for value in found.values())
