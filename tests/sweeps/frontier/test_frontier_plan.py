import json

import fake_frontiers
import pytest

from memunlearn.errors import UserError
from memunlearn.sweeps.frontier.plan import PLAN, Candidate, Target, candidates_of, read_plan, write_plan


def test_a_plan_is_read_as_it_was_written(tmp_path):
    fake_frontiers.write_frontier(tmp_path, later=("confirmation",))
    plan = read_plan(tmp_path)
    assert len(plan.jobs) == 3 * 2 * 2 + 2 * 2 and plan.later == {"confirmation": 15} and plan.references == ("default",)
    assert plan.jobs[0].candidate == fake_frontiers.candidate("quick", "forget_weight=0.5")
    before = (tmp_path / PLAN).read_text()
    write_plan(tmp_path, plan)
    assert (tmp_path / PLAN).read_text() == before and read_plan(tmp_path) == plan


def test_candidates_come_once_and_in_order(tmp_path):
    plan = read_plan(fake_frontiers.write_frontier(tmp_path))
    labels = [candidate.label for candidate in candidates_of(plan.jobs)]
    assert labels[:3] == ["quick (forget_weight=0.5, all)", "quick (forget_weight=1, all)", "gentle (forget_weight=0.5, all)"]
    assert labels[-1] == "default" and len(labels) == len(set(labels)) == 6 + 2 + 1


def test_labels_leave_out_what_a_method_has_no_name_for():
    assert Candidate("zeroing", "mask.fraction=0.1", "", ()).label == "zeroing (mask.fraction=0.1)"
    assert Target(5, 10).text == "forget EM at most 5 and longest run at most 10" and Target(5, 10).short == "EM 5, run 10"


@pytest.mark.parametrize(
    "change",
    [
        {"jobs": None},
        {"jobs": [{}]},
        {"targets": [{"forget_em": "low", "longest_run": 1}]},
        {"later": [1]},
        {"disruptions": [None]},
    ],
    ids=str,
)
def test_a_damaged_plan_is_one_line(tmp_path, change):
    fake_frontiers.write_frontier(tmp_path)
    plan = json.loads((tmp_path / PLAN).read_text())
    (tmp_path / PLAN).write_text(json.dumps(plan | change))
    with pytest.raises(UserError, match="frontier.json is damaged"):
        read_plan(tmp_path)


@pytest.mark.parametrize(("key", "value"), [("folder", "../elsewhere"), ("round", "last")])
def test_a_job_lies_in_the_sweep_and_in_a_round(tmp_path, key, value):
    fake_frontiers.write_frontier(tmp_path)
    plan = json.loads((tmp_path / PLAN).read_text())
    plan["jobs"][0][key] = value
    (tmp_path / PLAN).write_text(json.dumps(plan))
    with pytest.raises(UserError, match=value):
        read_plan(tmp_path)


def test_without_a_plan_it_is_said_what_to_name(tmp_path):
    with pytest.raises(UserError, match="experiment=frontier"):
        read_plan(tmp_path)
