"""A job's folder, whole and damaged."""

import json

import fake_frontiers
import pytest
from fake_frontiers import C

from memunlearn.sweeps.frontier.plan import PlannedJob
from memunlearn.sweeps.frontier.read import NO_CHECKS, Point, read_job

JOB = PlannedJob(round="tuning", candidate=fake_frontiers.candidate("quick"), seed=3, folder="0")
CHECKS = [(1, 18.0, 20.0, 0.01, 19.5), (2, 9.0, 11.0, 0.04, 18.25)]


def read(sweep, checks=CHECKS, **more):
    fake_frontiers.write_run(sweep / "0", checks, seed=3, **more)
    return read_job(sweep, JOB)


def test_a_finished_job_s_checks_from_the_base_model_on(tmp_path):
    found = read(tmp_path)
    assert found.state == "finished" and found.length == C and found.remarks == () and found.has_report
    assert found.points == (Point(0, C, C, 0.0, C), *(Point(*check) for check in CHECKS))
    assert found.seconds == 63.0 and found.notes == (fake_frontiers.NOTE,) and found.after["forget"]["em"] == 9.0


def test_a_job_without_checks_is_read_at_its_end_and_says_so(tmp_path):
    found = read(tmp_path, steps=0, after=fake_frontiers.sets(3.0, 5.0, 0.07, 12.0))
    ends = (Point(0, C, C, 0.0, C), Point(0, 3.0, 5.0, 0.07, 12.0))
    curve = tmp_path / "0" / "metrics.csv"
    for write in (lambda: curve.write_text("step,train/loss\n0,1.5\n"), curve.unlink):  # without a stop rule; without steps
        write()
        found = read_job(tmp_path, JOB)
        assert found.points == ends and found.remarks == (NO_CHECKS,)


def test_what_was_not_measured_makes_no_point(tmp_path):
    found = read(tmp_path, [], after={"forget": {"em": 1.0}, "retain": None, "bystander": None})
    assert found.points == () and "measured no" in found.remarks[0]


def test_a_check_that_lacks_a_number_is_left_out(tmp_path):
    read(tmp_path)
    file = tmp_path / "0" / "metrics.csv"
    file.write_text(file.read_text().replace("18.25", "nan"))
    assert [point.step for point in read_job(tmp_path, JOB).points] == [0, 1]


def test_a_run_that_diverged_counts_until_then(tmp_path):
    found = read(tmp_path, stopped_because="nan")
    assert found.state == "finished" and len(found.points) == 3 and "NaN" in found.remarks[0]


def test_failed_and_unfinished_jobs(tmp_path):
    assert read_job(tmp_path, JOB).state == "unfinished"
    fake_frontiers.write_failure(tmp_path / "0", "no room\n on the disk")
    found = read_job(tmp_path, JOB)
    assert (found.state, found.why, found.points) == ("failed", "no room on the disk", ())


@pytest.mark.parametrize("text", ["{", "[]", json.dumps({"after": {"forget": {"em": "low"}}})])
def test_a_damaged_result_is_unfinished_and_said(tmp_path, text):
    read(tmp_path)
    (tmp_path / "0" / "result.json").write_text(text)
    found = read_job(tmp_path, JOB)
    assert found.state == "unfinished" and found.remarks and "result.json" in found.remarks[0]


def test_a_damaged_curve_is_said_and_the_ends_count(tmp_path):
    read(tmp_path)
    (tmp_path / "0" / "metrics.csv").write_text("step,check/forget_em\n1,low\n")
    found = read_job(tmp_path, JOB)
    assert len(found.points) == 2 and any("metrics.csv" in remark for remark in found.remarks)
