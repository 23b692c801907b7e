"""Files that are whole JSON or parquet, and still not what a run writes."""

import copy
import json

import fake_results
import fake_sweeps
import pyarrow
import pyarrow.parquet
import pytest

from memunlearn.results.shape import check_config, check_curve, check_result, check_rows, number_columns


@pytest.fixture
def table(tmp_path):
    fake_sweeps.write_run(tmp_path / "0", fake_sweeps.config())
    return pyarrow.parquet.read_table(tmp_path / "0" / "paragraphs.parquet")


def test_what_a_run_writes_passes(table):
    check_result(fake_results.result(edit=True))
    check_rows(table)
    check_config(None)
    check_config(fake_sweeps.config())
    check_curve([{"step": 1.0, "check/forget_em": float("nan"), "train/loss": 1e300}, {"step": 2.0, "check/forget_em": 3.0}])


@pytest.mark.parametrize(
    ("place", "value", "said"),
    [
        (("before",), [], "before is '[]', which is no object"),
        (("after", "forget"), "none", "after.forget is 'none', which is no object"),
        (("after", "forget", "em"), "3", "after.forget.em is '3', which is no such number"),
        (("after", "forget", "em"), 1e13, "after.forget.em is '10000000000000.0'"),
        (("after", "forget", "em_ci"), [1, 2, 3], "after.forget.em_ci is no interval"),
        (("after", "forget", "em_ci"), [1, "2"], "after.forget.em_ci is '2'"),
        (("after", "forget", "interval_note"), 3, "after.forget.interval_note is '3', which is no text"),
        (("steps",), {}, "steps is '{}'"),
        (("mask", "k"), "all", "mask.k is 'all'"),
        (("attacks",), [], "attacks is '[]', which is no object"),
        (("attacks", "relearning"), 3, "attacks.relearning is '3', which is no object"),
        (("attacks", "pruning", "em"), "3", "attacks.pruning.em is '3'"),
        (("mask", "trained"), "all", "mask.trained is 'all'"),
        (("done",), 7, "done is '7', which is no text"),
        (("seconds", "protocol"), [1], "seconds.protocol is '[1]'"),
        (("stopped_because",), 7, "stopped_because is '7', which is no text"),
        (("config", "mask"), "all", "config.mask is 'all', which is no object"),
        (("config", "seed"), 0.5, "the seed seed is '0.5'"),
        (("config", "seed"), True, "the seed seed is 'True'"),
    ],
)
def test_a_damaged_result_is_refused_with_the_place(place, value, said):
    damaged = copy.deepcopy(fake_results.result()) | {"attacks": {"relearning": None, "pruning": {"em": 1.5}}}
    check_result(damaged)
    inner = damaged
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = value
    with pytest.raises(ValueError) as refused:
        check_result(json.loads(json.dumps(damaged)))
    assert str(refused.value).startswith(said)


def test_seeds_set_apart_are_whole_numbers():
    with pytest.raises(ValueError, match="the seed split is 'x'"):
        check_config({"seed": 0, "seeds": {"split": "x"}})


def replaced(table, name, values):
    return table.set_column(table.column_names.index(name), name, pyarrow.array(values))


def test_columns_of_another_type_are_refused(table):
    n = len(table)
    with pytest.raises(ValueError, match="it has no column cluster"):
        check_rows(table.drop_columns(["cluster"]))
    with pytest.raises(ValueError, match="its column index is string, or has nulls"):
        check_rows(replaced(table, "index", ["0"] * n))
    with pytest.raises(ValueError, match="its column cluster is int64, or has nulls"):
        check_rows(replaced(table, "cluster", [None, *range(n - 1)]))
    with pytest.raises(ValueError, match="its column em_after is string"):
        check_rows(replaced(table, "em_after", ["3"] * n))
    with pytest.raises(ValueError, match="its column kl has a number beyond 1e"):
        check_rows(replaced(table, "kl", [1e13] * n))
    check_rows(replaced(table, "kl", pyarrow.nulls(n)))


def test_numbers_of_a_check_are_in_range():
    with pytest.raises(ValueError, match="check/forget_em is '10000000000000.0', which is no such number"):
        check_curve([{"step": 3.0, "check/forget_em": 1e13}])


def test_the_columns_are_those_of_the_metrics():
    likely = ("nll", "min_k", "min_k_pp", "zlib", "log_p_z")
    said = ("longest_common_run", "levenshtein", "distinct")
    pairs = ("em", "longest_run", "extraction_strength", "memorization_accuracy", *likely, *said)
    compared = ("kl", "top1_agreement", "ndcg10", "self_em", "alternative_em")
    expected = {"trial", *compared, *(f"{key}_{when}" for key in pairs for when in ("before", "after"))}
    assert set(number_columns()) == expected and len(number_columns()) == len(expected)


def test_the_perplexity_of_a_ruined_model_is_no_damage():
    """exp(40) is beyond what other numbers can be; 40 nats per token are not."""
    stats = {"em": 0.0, "nll": 40.0, "perplexity": 2.4e17, "perplexity_ci": [2.2e17, 2.6e17]}
    check_result({"before": {}, "after": {"forget": stats}})
    with pytest.raises(ValueError, match="after.forget.nll"):
        check_result({"before": {}, "after": {"forget": {**stats, "nll": 2.4e17}}})
    with pytest.raises(ValueError, match="after.forget.perplexity"):
        check_result({"before": {}, "after": {"forget": {**stats, "perplexity": "large"}}})
