"""What several processes know of each other; alone, nothing is different."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from memunlearn import several_processes

ITEMS = list("abcdefg")


def test_one_process_has_everything_and_is_the_first():
    values = torch.tensor([1.0, 2.0])
    assert several_processes.count() == 1 and several_processes.number() == 0
    assert several_processes.own(ITEMS) == several_processes.gathered(ITEMS) == ITEMS
    assert several_processes.of_the_first(lambda: "made") == "made"
    assert several_processes.stacked(values).equal(values.unsqueeze(0))
    several_processes.as_in_the_first([values])
    assert values.tolist() == [1.0, 2.0]


def process(number, count, meeting):
    """What one of several processes finds; printed as JSON."""
    made = []
    with several_processes.joined(number, count, Path(meeting), torch.device("cpu")):
        own = several_processes.own(ITEMS)
        tensor = torch.full((2,), float(number))
        stacked = several_processes.stacked(tensor + 1)
        several_processes.as_in_the_first([tensor])
        found = {
            "known": [several_processes.number(), several_processes.count()],
            "own": own,
            "gathered": several_processes.gathered([f"{item}{number}" for item in own]),
            "few": several_processes.gathered(several_processes.own(ITEMS[:1])),
            "first": several_processes.of_the_first(lambda: made.append(1) or [number, several_processes.count()]),
            "made": len(made),
            "stacked": stacked.tolist(),
            "tensor": tensor.tolist(),
        }
        with several_processes.by_itself():
            found["alone"] = [several_processes.count(), several_processes.own(ITEMS), several_processes.gathered(ITEMS)]
    print(json.dumps(found | {"afterwards": several_processes.count()}))


@pytest.mark.slow
def test_three_processes_share_the_work_and_know_the_same(tmp_path):
    root = Path(__file__).parents[1]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(root), str(root / "tests")]), "OMP_NUM_THREADS": "1"}
    code = "import sys, test_several_processes as t; t.process(int(sys.argv[1]), 3, sys.argv[2])"
    started = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(number), str(tmp_path / "meeting")], stdout=subprocess.PIPE, env=environment
        )
        for number in range(3)
    ]
    found = [json.loads(one.communicate(timeout=120)[0]) for one in started]
    assert [one["known"] for one in found] == [[0, 3], [1, 3], [2, 3]]
    assert [one["own"] for one in found] == [list("adg"), list("be"), list("cf")]
    for number, one in enumerate(found):
        assert one["gathered"] == ["a0", "b1", "c2", "d0", "e1", "f2", "g0"] and one["few"] == ["a"]
        assert one["first"] == [0, 1] and one["made"] == (number == 0)
        assert one["stacked"] == [[1.0, 1.0], [2.0, 2.0], [3.0, 3.0]] and one["tensor"] == [0.0, 0.0]
        assert one["alone"] == [1, ITEMS, ITEMS] and one["afterwards"] == 1
