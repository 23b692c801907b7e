"""An attempt that could measure no row: numbers, rows and the sentence go on without it."""

import torch

from memunlearn.attacks.attempt import Attempt
from memunlearn.attacks.run import Attacked
from memunlearn.attacks.summary import attack_entry, attempt_entry, row_columns

WHY = "the row with its shots has 300 tokens, and the model reads 256"
CLUSTERS = torch.tensor([3, 3, 5])


def attempt(rows, **more):
    numbers = torch.arange(len(rows))
    return Attempt(settings={"shots": 2}, rows=torch.tensor(rows), em=numbers, longest_run=numbers, nll=numbers.float(), **more)


def nothing():
    whole = torch.empty(0, dtype=torch.int64)
    return Attempt(settings={"shots": 3}, rows=whole, em=whole, longest_run=whole, nll=torch.empty(0), counts=False, note=WHY)


def test_its_numbers_are_null():
    assert attempt_entry(nothing(), CLUSTERS, 9, 0) == {
        "settings": {"shots": 3},
        "n": 0,
        "rows": 0,
        "clusters": 0,
        **dict.fromkeys(("em", "longest_run", "memorized", "nll")),
        "counts": False,
        "note": WHY,
        "extra": {},
    }


def test_it_is_never_the_worst_and_has_no_rows():
    done = [
        Attacked("few_shot", "base", [nothing(), attempt([0, 2])], 1.0),
        Attacked("few_shot", "unlearned", [nothing()], 1.0),
    ]
    entry = attack_entry(done, protocol="", clusters=CLUSTERS, length=9, seed=0)
    assert entry["worst"] == {"base": 1, "unlearned": None} and WHY in entry["sentence"]
    columns = row_columns(done, CLUSTERS)
    assert columns["row"] == [0, 2] and columns["attempt"] == [1, 1] and columns["cluster"] == [3, 5]
