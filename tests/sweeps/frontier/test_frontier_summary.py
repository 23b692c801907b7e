"""Means over seeds, and which candidates go on."""

import statistics

import fake_frontiers
import pytest
from fake_frontiers import LEVELS, TARGETS, C
from scipy.stats import t

from memunlearn.sweeps.frontier.choose import best_of_methods, ranked
from memunlearn.sweeps.frontier.hypervolume import volume_of
from memunlearn.sweeps.frontier.matched import at_disruption, at_forgetting
from memunlearn.sweeps.frontier.plan import read_plan
from memunlearn.sweeps.frontier.read import read_job
from memunlearn.sweeps.frontier.summary import difference, seed_mean, summaries


def read(sweep, *rounds):
    plan = read_plan(sweep)
    return plan, summaries(plan, [read_job(sweep, job) for job in plan.jobs if job.round in rounds])


def test_readings_are_means_over_the_seeds(tmp_path):
    plan, found = read(fake_frontiers.write_frontier(tmp_path), "confirmation")
    gentle = found[1]
    assert gentle.candidate.method == "gentle" and [one.job.seed for one in gentle.readings] == [10, 11, 12, 13, 14]
    runs = [one.points for one in gentle.readings]
    assert gentle.hypervolume.mean == pytest.approx(statistics.mean(volume_of(points, C) for points in runs))
    for place, target in enumerate(TARGETS):
        kl = gentle.forgetting[place].mean(lambda point: point.retain_kl)
        assert list(kl.values.values()) == [at_forgetting(points, target).retain_kl for points in runs]
    for place, level in enumerate(LEVELS):
        em = gentle.disruption[place].mean(lambda point: point.forget_em)
        assert em.mean == pytest.approx(statistics.mean(at_disruption(points, level).forget_em for points in runs))
    assert gentle.seconds.mean == 60 + 12 and gentle.after("forget", "em").values.keys() == {10, 11, 12, 13, 14}
    assert gentle.after("near", "em") is None


def test_the_interval_is_student_s_t_from_five_seeds_on():
    values = {seed: 0.3 + 0.07 * seed**1.5 for seed in range(5)}
    found = seed_mean(values)
    spread = t.ppf(0.975, 4) * statistics.stdev(values.values()) / 5**0.5
    assert found.interval == pytest.approx((found.mean - spread, found.mean + spread))
    assert seed_mean({0: 1.0, 1: 2.0}).interval is None and seed_mean({}) is None
    assert seed_mean(values, (0.3, 0.5)).interval == (0.3, 0.5)


def test_differences_are_seed_by_seed_over_those_that_both_have():
    a, b = seed_mean({1: 5.0, 2: 7.0, 3: 9.0}), seed_mean({2: 1.0, 3: 2.0, 4: 99.0})
    assert difference(a, b).values == {2: 6.0, 3: 7.0}
    assert difference(a, seed_mean({8: 1.0})) is None


def test_a_failed_job_counts_as_nothing_won_and_an_unfinished_one_not_at_all(tmp_path):
    sweep = fake_frontiers.write_frontier(tmp_path)
    before = read(sweep, "tuning")[1][1]
    fake_frontiers.write_failure(sweep / "2")
    failed = read(sweep, "tuning")[1][1]
    assert failed.hypervolume.values == {0: 0.0, 1: before.hypervolume.values[1]} and failed.has_ended
    assert (failed.forgetting[0].runs, len(failed.forgetting[0].points)) == (2, 1) and not failed.forgetting[0].everywhere
    (sweep / "2" / "error.json").unlink()
    unfinished = read(sweep, "tuning")[1][1]
    assert unfinished.hypervolume.values.keys() == {1} and not unfinished.has_ended
    assert unfinished.forgetting[0].everywhere


def test_the_largest_hypervolume_comes_first_and_each_method_once(tmp_path):
    _, found = read(fake_frontiers.write_frontier(tmp_path), "tuning", "masks")
    order = ranked(found)
    volumes = [summary.hypervolume.mean for summary in order]
    assert volumes == sorted(volumes, reverse=True) and len(order) == 8
    best = best_of_methods(found)
    assert [summary.candidate.method for summary in best] == ["gentle", "quick", "useless"]
    assert best[0] is order[0] and len(best_of_methods(found, 2)) == 2


def test_ties_go_to_the_lower_cost_and_then_by_name(tmp_path):
    sweep = fake_frontiers.write_frontier(tmp_path)
    plan = read_plan(sweep)
    # Equal volumes: two that are each other's mirror in the cube; the one with the lower KL costs less.
    for job in plan.jobs:
        quick = job.candidate.method == "quick"
        kl, bystander = (0.1, C / 2) if quick else (0.25, C * 0.8)
        fake_frontiers.write_run(sweep / job.folder, [(1, 0.0, 0.0, kl, bystander)], seed=job.seed)
    order = ranked(read(sweep, "tuning")[1])
    assert len({round(summary.hypervolume.mean, 9) for summary in order}) == 1
    labels = [summary.candidate.label for summary in order]
    assert [label.split(" ")[0] for label in labels] == ["quick"] * 2 + ["gentle"] * 2 + ["useless"] * 2
    assert labels[:2] == sorted(labels[:2])


def test_a_method_whose_jobs_all_failed_is_not_chosen(tmp_path):
    sweep = fake_frontiers.write_frontier(tmp_path)
    for job in read_plan(sweep).jobs:
        if job.candidate.method == "gentle":
            fake_frontiers.write_failure(sweep / job.folder)
    assert [one.candidate.method for one in best_of_methods(read(sweep, "tuning", "masks")[1])] == ["quick", "useless"]
