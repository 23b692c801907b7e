"""What is taken of the harness's results, and two models side by side: worked out by hand, without the harness."""

import random

import pytest

from memunlearn.evaluation.downstream import Downstream, TaskScore, _scores, task_entries

DOWNSTREAM = Downstream((), None, 0, "0.4.13")
HITS = [1.0, 0.0, 1.0, 1.0]


def results(**changed):
    """As simple_evaluate returns them for one task; documents come in another order than they were read."""
    samples = [{"doc_id": number, "filter": "none", "acc": hit, "f1": hit / 2} for number, hit in enumerate(HITS)]
    return {
        "samples": {"topics": samples[::-1]},
        "n-samples": {"topics": {"original": 9, "effective": 4}},
        "n-shot": {"topics": 2},
        "higher_is_better": {"topics": {"acc": True}},
    } | changed


def score(documents, value=None, **changed):
    value = sum(documents) / len(documents) if value is None else value
    given = dict(task="topics", metric="acc", filter="none", higher_is_better=True, stderr=None, n=4, of=4, shots=0)
    return TaskScore(**(given | changed), value=value, documents=None if documents is None else tuple(documents))


def test_a_metric_with_its_documents():
    metrics = {"alias": "topics", "acc,none": 0.75, "acc_stderr,none": 0.25, "sample_len": 4}
    (found,) = _scores("topics", metrics, results())
    assert found == TaskScore(
        task="topics",
        metric="acc",
        filter="none",
        higher_is_better=True,
        value=0.75,
        stderr=0.25,
        n=4,
        of=9,
        shots=2,
        documents=tuple(HITS),
    )


def test_what_is_no_mean_of_documents_has_none():
    """Such as perplexity: the exponential of a mean."""
    found = {one.metric: one for one in _scores("topics", {"acc,none": 0.75, "f1,none": 2.117, "bleu,none": 3.0}, results())}
    assert found["acc"].documents == tuple(HITS)
    assert found["f1"].documents is found["bleu"].documents is None and found["f1"].value == 2.117


def test_a_standard_error_that_is_not_known_is_none():
    (found,) = _scores("topics", {"acc,none": 0.75, "acc_stderr,none": "N/A"}, results())
    assert found.stderr is None


def test_each_filter_has_its_own_documents():
    strict = [{"doc_id": number, "filter": "strict", "acc": 0.0} for number in range(4)]
    both = results()["samples"]["topics"] + strict
    found = _scores("topics", {"acc,none": 0.75, "acc,strict": 0.0}, results(samples={"topics": both}))
    assert {one.filter: one.documents for one in found} == {"none": tuple(HITS), "strict": (0.0,) * 4}


def test_a_group_has_a_value_and_no_documents():
    (found,) = _scores("group", {"acc,none": 0.5, "alias": "group"}, results())
    assert (found.value, found.n, found.of, found.shots, found.documents) == (0.5, None, None, None, None)


def test_the_difference_is_over_the_same_documents():
    draw = random.Random(3)
    base = [float(draw.random() < 0.6) for _ in range(200)]
    unlearned = [hit if draw.random() < 0.9 else 1 - hit for hit in base]
    (row,) = task_entries(DOWNSTREAM, [score(base)], [score(unlearned)])["tasks"]
    changes = [after - before for before, after in zip(base, unlearned, strict=True)]
    assert row["difference"] == pytest.approx(sum(changes) / 200)
    # Paired: narrower than that of two groups, whose standard error is at least this.
    low, high = row["difference_ci"]
    unpaired = 1.96 * (sum((hit - sum(base) / 200) ** 2 for hit in base) / 200**2 * 2) ** 0.5
    assert low < row["difference"] < high and high - low < 2 * unpaired


def test_few_documents_have_no_interval():
    (row,) = task_entries(DOWNSTREAM, [score(HITS)], [score([0.0, 0.0, 1.0, 1.0])])["tasks"]
    assert row["difference"] == -0.25 and row["difference_ci"] is None


@pytest.mark.parametrize("base, unlearned", [(score(None, 2.0), score(HITS)), (score(HITS), score(None, 2.0))])
def test_without_documents_there_is_no_difference(base, unlearned):
    (row,) = task_entries(DOWNSTREAM, [base], [unlearned])["tasks"]
    assert row["difference"] is row["difference_ci"] is None
    assert (row["base"]["value"], row["unlearned"]["value"]) == (base.value, unlearned.value)


def test_one_model_alone():
    found = task_entries(DOWNSTREAM, [score(HITS, stderr=0.1)], None)
    assert found["version"] == "0.4.13" and found["limit"] is None
    assert found["tasks"][0]["base"] == {"value": 0.75, "stderr": 0.1} and found["tasks"][0]["unlearned"] is None


def test_other_tasks_on_the_second_model_are_a_fault():
    with pytest.raises(ValueError, match="zip"):
        task_entries(DOWNSTREAM, [score(HITS)], [score(HITS), score(HITS)])
