"""A check's means from the list of metrics: by name for the stop rule, the rest beside them."""

import dataclasses
import json

import pytest
import torch

from memunlearn.scoring.metric import TOKENS, FromPass, FromText, Metric
from memunlearn.scoring.metrics import METRICS
from memunlearn.scoring.score import ParagraphScores
from memunlearn.unlearning.checks import Check, check_of

C = 5
NAMES = [
    "step",
    "forget_em",
    "forget_em_p95",
    "forget_longest_run",
    "retain_val_kl",
    "bystander_val_em",
    "alternative_em",
    "forget_longest_common_run",
]
MISSES = Metric(
    key="misses",
    label="wrong tokens",
    unit=TOKENS,
    digits=1,
    definition="",
    source=FromPass(lambda given: given.hits),
    checked=("retain_val", "forget"),
)
SAID = dataclasses.replace(MISSES, key="said", source=FromText(lambda said, true: said), checked=("forget",))


def scores(em, seed=0, **more):
    token_nll = torch.rand(len(em), C, generator=torch.Generator().manual_seed(seed))
    values = {"em": torch.tensor(em), "longest_run": torch.tensor(em) + 1, "nll": token_nll.mean(1)}
    return ParagraphScores(values | {key: torch.tensor(column) for key, column in more.items()}, token_nll)


@pytest.fixture
def of_sets():
    return {
        "forget": scores([0, 1, 5, 2], misses=[5, 4, 0, 3]),
        "retain_val": scores([0, 0], kl=[0.25, 0.5], misses=[1, 2]),
        "bystander_val": scores([5, 4, 5]),
    }


def test_means_by_name(of_sets):
    check = check_of(7, of_sets, None)
    assert (check.step, check.forget_em, check.forget_longest_run) == (7, 2.0, 3.0)
    assert check.forget_em_p95 == pytest.approx(2 + 0.85 * 3) and check.retain_val_kl == 0.375
    assert check.bystander_val_em == pytest.approx(14 / 3) and check.others == {}
    assert check.alternative_em is None and check.forget_longest_common_run is None
    assert list(check.numbers()) == NAMES


def test_what_an_edit_adds(of_sets):
    check = check_of(7, of_sets, scores([4, 5]))
    assert check.alternative_em == 4.5 and check.forget_longest_common_run is None
    decoded = check.with_numbers({"forget_longest_common_run": 1.5})
    assert decoded == dataclasses.replace(check, forget_longest_common_run=1.5)


def test_an_empty_set_has_no_mean(of_sets):
    check = check_of(1, {**of_sets, "bystander_val": scores([0])}, None)
    assert check.bystander_val_em == 0.0
    none = of_sets["bystander_val"].select(torch.zeros(3, dtype=torch.bool))
    assert check_of(1, {**of_sets, "bystander_val": none}, None).bystander_val_em is None


def test_other_metrics_stand_beside_what_the_rule_reads(of_sets, monkeypatch):
    monkeypatch.setattr("memunlearn.unlearning.checks.METRICS", [*METRICS, MISSES, SAID])
    check = check_of(3, of_sets, None)
    assert check.others == {"retain_val_misses": 1.5, "forget_misses": 3.0, "forget_said": None}
    check = check.with_numbers({"forget_said": 0.5})
    assert check.numbers() == {
        **dict.fromkeys(NAMES),
        **{name: getattr(check, name) for name in NAMES},
        "retain_val_misses": 1.5,
        "forget_misses": 3.0,
        "forget_said": 0.5,
    }
    assert Check(**json.loads(json.dumps(dataclasses.asdict(check)))) == check  # as a checkpoint keeps it


def test_checkpoints_of_before_know_no_others(of_sets):
    kept = dataclasses.asdict(check_of(3, of_sets, None))
    del kept["others"]
    assert Check(**kept) == check_of(3, of_sets, None)
