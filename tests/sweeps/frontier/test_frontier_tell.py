"""Sentences say who wins, by how much, and only what an interval bears out."""

import re

import fake_frontiers
import pytest

from memunlearn.sweeps.frontier.plan import Plan, read_plan
from memunlearn.sweeps.frontier.read import Point, read_job
from memunlearn.sweeps.frontier.summary import Matched, SeedMean, Summary, summaries
from memunlearn.sweeps.frontier.tell import KL, headline, mean_in_words, sentences

SEEDS = tuple(range(5))
PLAN = Plan((), {}, fake_frontiers.TARGETS[:1], (0.05,), ("default",))


def summary_of(name, kl, bystander=40.0, em=10.0, missed=0):
    """kl: of each seed at the target. missed: so many seeds do not get there."""
    points = {seed: Point(7, 3.0, 4.0, value, bystander + 0.1 * seed) for seed, value in enumerate(kl)}
    reached = Matched({seed: points[seed] for seed in list(points)[missed:]}, len(points))
    forgot = Matched({seed: Point(7, em + 0.1 * seed, 4.0, 0.01, 40.0) for seed in points}, len(points))
    return Summary(
        candidate=fake_frontiers.Candidate(name, "", "", ()),
        readings=(),
        hypervolume=SeedMean(dict.fromkeys(points, 0.5), 0.5, None),
        forgetting=(reached,),
        disruption=(forgot,),
        seconds=None,
    )


def about_kl(*found):
    return sentences(PLAN, found, 50)[0]


def test_a_winner_by_more_than_its_interval():
    cheap, dear = summary_of("cheap", [0.1, 0.12, 0.11, 0.1, 0.12]), summary_of("dear", [0.3, 0.33, 0.3, 0.32, 0.31])
    said = about_kl(dear, cheap)
    assert said.startswith(
        "At forget EM at most 4 and longest run at most 6, cheap has the lowest retain KL: 0.110 nats per token ("
    )
    assert re.search(r"; dear has 0\.312 .* \(difference -0\.202, 95 % interval -0\.2\d+ to -0\.1\d+\)\.$", said)


def test_what_cannot_be_told_apart_is_said_so():
    a, b = summary_of("a", [0.1, 0.3, 0.2, 0.1, 0.2]), summary_of("b", [0.2, 0.2, 0.1, 0.3, 0.2])
    said = about_kl(a, b)
    assert "a has the lowest" in said and "which cannot be told apart (95 % interval of the difference -" in said


def test_with_few_seeds_there_is_no_interval():
    said = about_kl(summary_of("a", [0.1, 0.2]), summary_of("b", [0.3, 0.4]))
    assert said.endswith("b has 0.350 nats per token (fewer than 5 seeds: no interval).")


def test_the_same_difference_with_every_seed_has_no_interval():
    assert about_kl(summary_of("a", [0.1] * 5), summary_of("b", [0.2] * 5)).endswith("the same difference with every seed.")


def test_what_is_the_same_has_no_winner():
    a, b, c = (summary_of(name, [kl, 0.2]) for name, kl in (("a", 0.1), ("b", 0.1), ("c", 0.3)))
    place = "At forget EM at most 4 and longest run at most 6, "
    assert about_kl(a, b) == f"{place}a and b have the same retain KL: 0.150 nats per token."
    assert about_kl(a, b, c).startswith(f"{place}a and b have the same, lowest retain KL: 0.150 nats per token; c has 0.250")
    assert "b has the lowest" in about_kl(c, b)


def test_one_that_misses_the_target_with_a_seed_does_not_win():
    rare, sure = summary_of("rare", [0.01, 0.02, 0.01, 0.02, 0.01], missed=3), summary_of("sure", [0.2, 0.3, 0.2, 0.3, 0.2])
    assert "sure has the lowest retain KL" in about_kl(rare, sure) and "rare" not in about_kl(rare, sure)


def test_a_reference_is_always_told_of():
    best, second = summary_of("best", [0.1, 0.11, 0.1, 0.12, 0.1]), summary_of("second", [0.2, 0.22, 0.2, 0.2, 0.21])
    default = summary_of("default", [0.4, 0.4, 0.41, 0.43, 0.4])
    assert "second has 0.2" in about_kl(best, second, default) and "default has 0.4" in about_kl(best, second, default)
    late = summary_of("default", [0.4] * 5, missed=2)
    assert about_kl(best, late).endswith("; default gets there with 3 of 5 seeds.")


def test_where_nothing_gets_there_it_is_said_once():
    found = [summary_of("a", [0.1] * 5, missed=5), summary_of("b", [0.1] * 5, missed=1)]
    said = [one for one in sentences(PLAN, found, 50) if "nothing gets there" in one]
    assert said == [
        "At forget EM at most 4 and longest run at most 6, nothing gets there with every seed (b gets there with 4 of 5 seeds)."
    ]


def test_side_effects_and_forgetting_have_their_own_winners():
    a, b = summary_of("a", [0.1] * 5, bystander=30.0, em=20.0), summary_of("b", [0.2] * 5, bystander=45.0, em=5.0)
    kl, bystander, em = sentences(PLAN, [a, b], 50)
    assert "a has the lowest retain KL" in kl and "b has the highest bystander EM: 45.2 tokens" in bystander
    assert em.startswith("At a retain KL of at most 0.05, b has the lowest forget EM: 5.2 tokens")


def test_the_headline_is_about_the_hypervolume(tmp_path):
    plan = read_plan(fake_frontiers.write_frontier(tmp_path))
    found = summaries(plan, [read_job(tmp_path, job) for job in plan.jobs if job.round == "confirmation"])
    said = headline(found, plan.references)
    assert (
        "gentle (forget_weight=1, all) has the highest hypervolume: 0.950 (95 % interval" in said and "; default has 0." in said
    )
    assert headline([]) == "No job has ended yet."


@pytest.mark.parametrize("interval", [None, (0.055, 0.067)])
def test_a_mean_in_words(interval):
    said = mean_in_words(KL, SeedMean({0: 0.061}, 0.061, interval))
    assert said == "0.061 nats per token" + (" (95 % interval 0.055 to 0.067)" if interval else "")
