"""What evaluate.py says of a patch, compared with what the run that made it said."""

import command_runs
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from memunlearn.results.tables import SET_ORDER

# Metrics of what a model says, which evaluate.py does not decode.
OF_DECODED_TEXT = ("longest_common_run", "levenshtein", "approximate_match", "distinct")


def judge(patch, *overrides, directory):
    """`python evaluate.py patch=FILE`, with nothing of the tiny demo's settings."""
    return command_runs.run("evaluate", f"patch='{patch}'", "accelerator=cpu", *overrides, directory=directory)


def sets_of(directory):
    return command_runs.read_result(directory, "evaluation.json")["sets"]


def assert_same(sets, after):
    """Every number of every reported set, intervals too, but of what the run alone has decoded. The notes on intervals say
    that as well, so of them only that they are there is compared."""
    for name in SET_ORDER:
        stats, told = sets[name], after[name]
        assert (stats is None) == (told is None), name
        for key, value in (told or {}).items():
            if key == "interval_note" or key.startswith(OF_DECODED_TEXT):
                assert key.endswith("_ci") or key in stats, (name, key)
                continue
            assert stats[key] == (pytest.approx(value, abs=1e-4) if isinstance(value, float | list) else value), (name, key)


def assert_judged(patch, run, *overrides, directory):
    """It gives the run's own "after"; returns what it printed."""
    ended = judge(patch, *overrides, directory=directory)
    assert ended.code == 0, ended.err
    assert_same(sets_of(directory), command_runs.read_result(run)["after"])
    return ended.out


def rewritten(source, target, change):
    """The same safetensors file but for what change(tensors, metadata) makes of both."""
    with safe_open(source, "pt") as file:
        tensors, metadata = {key: file.get_tensor(key) for key in file.keys()}, file.metadata()
    change(tensors, metadata)
    save_file(tensors, target, metadata)


def save(ids, path):
    torch.save(ids, path)
    return path
