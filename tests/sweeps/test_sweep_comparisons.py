"""The comparisons of a synthetic sweep against the same numbers computed by plain loops over its files."""

import csv
import json

import fake_sweeps
import numpy as np
import pyarrow.parquet
import pytest
from fake_sweeps import config

from memunlearn.statistics.two_way import mean_over_units
from memunlearn.sweeps.comparisons import END, EQUAL_STEPS, comparisons_of
from memunlearn.sweeps.runs import read_sweep
from memunlearn.sweeps.sentences import sentence
from memunlearn.sweeps.settings import settings_of

SEEDS = 6


@pytest.fixture(scope="module")
def sweep(tmp_path_factory):
    return fake_sweeps.write_sweep(tmp_path_factory.mktemp("sweep"), seeds=SEEDS)


@pytest.fixture(scope="module")
def compared(sweep):
    return compare(sweep)


def compare(folder):
    return {
        (one.title.partition(" (")[0] + (" matched" if "matched" in one.title else ""), one.held): one
        for one in comparisons_of(settings_of(read_sweep(folder)))
    }


def found(comparison, moment, label):
    return next(one for one in comparison.differences if one.moment == moment and one.quantity.label == label)


def folder_of(sweep, objective, mask, seed, forget_text="memorized"):
    wanted = config(objective, mask, seed, forget_text)
    for folder in sweep.iterdir():
        if json.loads((folder / "result.json").read_text())["config"] == wanted:
            return folder
    raise AssertionError("no such run")


def rows(folder, name, file="paragraphs"):
    return [row for row in pyarrow.parquet.read_table(folder / f"{file}.parquet").to_pylist() if row["set"] == name]


def test_every_contrast_is_there(compared):
    masks = ("all", "gradient", "random", "random (matched)")
    assert set(compared) == {
        *(("unlearn versus edit", mask) for mask in masks),
        *(
            (f"gradient mask versus {b}", o)
            for b in ("random mask", "random mask matched", "all weights")
            for o in ("unlearn", "edit")
        ),
        ("memorized text versus the model's own continuations", "unlearn, gradient"),
    }


def test_the_end_of_unlearn_and_edit_is_over_paragraphs_with_an_alternative(sweep, compared):
    expected, wider = [], []
    for seed in range(SEEDS):
        unlearned = {row["index"]: row for row in rows(folder_of(sweep, "unlearn", "random", seed), "forget")}
        edited = rows(folder_of(sweep, "edit", "random", seed), "forget")
        gaps = [unlearned[row["index"]]["em_after"] - row["em_after"] for row in edited if row["alternative"] is not None]
        expected.append(sum(gaps) / len(gaps))
        wider.append(np.mean([unlearned[row["index"]]["em_after"] - row["em_after"] for row in edited]))
    difference = found(compared["unlearn versus edit", "random"], END, "forget EM")
    assert [pair.a - pair.b for pair in difference.pairs] == pytest.approx(expected)
    assert difference.mean == pytest.approx(np.mean(expected)) and difference.mean != pytest.approx(np.mean(wider))
    assert all(len(pair.differences) == 9 and len(set(pair.clusters)) == 6 for pair in difference.pairs)
    assert "Forget EM is over the 9 paragraphs" in compared["unlearn versus edit", "random"].remarks[-1]


@pytest.mark.parametrize(
    ("name", "label", "column"), [("bystander", "bystander EM", "em_after"), ("retain", "retain KL", "kl")]
)
def test_side_effects_are_paired_by_paragraph(sweep, compared, name, label, column):
    difference = found(compared["gradient mask versus all weights", "edit"], END, label)
    for pair in difference.pairs:
        a, b = (rows(folder_of(sweep, "edit", mask, int(pair.seed)), name) for mask in ("gradient", "all"))
        assert pair.differences == pytest.approx([x[column] - y[column] for x, y in zip(a, b, strict=True)])
        assert (pair.a, pair.b) == pytest.approx(tuple(np.mean([row[column] for row in one]) for one in (a, b)))
    assert difference.unit == "seeds x clusters"


def test_kept_steps_are_compared(sweep, compared):
    difference = found(compared["gradient mask versus random mask", "unlearn"], END, "the kept step")
    for pair in difference.pairs:
        results = [
            json.loads((folder_of(sweep, "unlearn", mask, int(pair.seed)) / "result.json").read_text())
            for mask in ("gradient", "random")
        ]
        assert (pair.a, pair.b) == tuple(result["kept_step"] for result in results)


def test_equal_steps_are_the_last_common_ones(sweep, compared):
    difference = found(compared["gradient mask versus random mask", "edit"], EQUAL_STEPS, "retain_val KL")
    ends = []
    for pair in difference.pairs:
        folders = [folder_of(sweep, "edit", mask, int(pair.seed)) for mask in ("gradient", "random")]
        both = [rows(folder, "retain_val", "trajectory") for folder in folders]
        step = max({row["step"] for row in both[0]} & {row["step"] for row in both[1]})
        ends.append(step)
        expected = [[row["kl"] for row in one if row["step"] == step] for one in both]
        assert (pair.a, pair.b) == pytest.approx(tuple(map(np.mean, expected)))
        assert pair.differences == pytest.approx([a - b for a, b in zip(*expected, strict=True)])
    assert difference.note == (f"step {min(ends)} to {max(ends)}" if len(set(ends)) > 1 else f"step {ends[0]}")


def naive_crossing(points, level):
    """(step, kl) where a line through the points first comes down to the level."""
    for (s0, e0, k0), (s1, e1, k1) in zip(points, points[1:], strict=False):
        if e1 <= level:
            at = np.interp(level, [e1, e0], [s1, s0])
            return at, np.interp(at, [s0, s1], [k0, k1])
    return None


def test_equal_forget_em_is_read_off_both_paths(sweep, compared):
    comparison = compared["gradient mask versus random mask matched", "unlearn"]
    for level in (10, 4, 2):
        expected = {}
        for seed in range(SEEDS):
            crossings = []
            for mask in ("gradient", "matched"):
                folder = folder_of(sweep, "unlearn", mask, seed)
                forget, retain = rows(folder, "forget", "trajectory"), rows(folder, "retain_val", "trajectory")
                points = [
                    (
                        step,
                        np.mean([row["em"] for row in forget if row["step"] == step]),
                        np.mean([row["kl"] for row in retain if row["step"] == step]),
                    )
                    for step in sorted({row["step"] for row in forget})
                ]
                crossings.append(naive_crossing(points, level))
            if None not in crossings:
                expected[str(seed)] = crossings
        difference = found(comparison, f"at forget EM {level}", "retain_val KL")
        steps = found(comparison, f"at forget EM {level}", "the number of steps")
        assert [pair.seed for pair in difference.pairs] == list(expected)
        assert difference.note == f"reached by {len(expected)} of {SEEDS} pairs"
        for pair, step, (a, b) in zip(difference.pairs, steps.pairs, expected.values(), strict=True):
            assert (step.a, pair.a) == pytest.approx(a) and (step.b, pair.b) == pytest.approx(b)
        assert difference.unit == "seeds"


def test_memorized_and_own_text_are_paired_by_seed_only(sweep, compared):
    comparison = compared["memorized text versus the model's own continuations", "unlearn, gradient"]
    assert all(pair.differences == () for one in comparison.differences for pair in one.pairs)
    for pair in found(comparison, END, "forget EM").pairs:
        for text, mean in (("memorized", pair.a), ("own", pair.b)):
            result = json.loads((folder_of(sweep, "unlearn", "gradient", int(pair.seed), text) / "result.json").read_text())
            assert mean == pytest.approx(result["after"]["forget"]["em"])
    assert "paired by seed only" in comparison.remarks[-1]


def test_weights_are_counted_and_other_differences_named(compared):
    assert compared["gradient mask versus random mask", "edit"].remarks == ("Equal K: 50 weights each",)
    assert compared["gradient mask versus all weights", "edit"].remarks == (
        "K differs: 50 and 1,000 weights",
        "They differ in these settings too: optimizer.lr 0.002 and 0.0004",
    )


def test_without_trajectories_the_curves_are_used(tmp_path):
    fake_sweeps.write_sweep(tmp_path, seeds=2, masks=("gradient",), own=False, trajectory=False)
    comparison = compare(tmp_path)["unlearn versus edit", ""]
    difference = found(comparison, EQUAL_STEPS, "forget EM")
    assert difference.unit == "seeds" and "no trajectory.parquet" in comparison.remarks[-1]
    for pair in difference.pairs:
        curves = []
        for objective in ("unlearn", "edit"):
            with open(folder_of(tmp_path, objective, "gradient", int(pair.seed)) / "metrics.csv") as file:
                curves.append({int(row["step"]): row["check/forget_em"] for row in csv.DictReader(file)})
        step = max(curves[0].keys() & curves[1].keys())
        assert (pair.a, pair.b) == pytest.approx(tuple(float(curve[step]) for curve in curves))


def test_only_seeds_that_both_have_are_paired(tmp_path):
    for job, (mask, seed) in enumerate([("gradient", 0), ("gradient", 1), ("random", 1), ("random", 2)]):
        fake_sweeps.write_run(tmp_path / str(job), config(mask=mask, seed=seed))
    (comparison,) = compare(tmp_path).values()
    assert all([pair.seed for pair in one.pairs] == ["1"] for one in comparison.differences)


def test_no_common_seed_is_no_comparison(tmp_path):
    for job, (mask, seed) in enumerate([("gradient", 0), ("random", 1)]):
        fake_sweeps.write_run(tmp_path / str(job), config(mask=mask, seed=seed))
    assert compare(tmp_path) == {}


def test_one_paragraph_at_a_time_resamples_trials(tmp_path, monkeypatch):
    monkeypatch.setattr(fake_sweeps, "ROWS_A_CLUSTER", 1)
    for job, mask in enumerate(("gradient", "random")):
        fake_sweeps.write_run(tmp_path / str(job), config(mask=mask), trials=True)
    (comparison,) = compare(tmp_path).values()
    assert {one.moment for one in comparison.differences} == {END}
    difference = found(comparison, END, "bystander EM")
    assert difference.unit == "seeds x trials"
    assert len(difference.pairs[0].differences) == fake_sweeps.FORGET * fake_sweeps.BYSTANDER
    (pair,) = difference.pairs
    assert sorted(set(pair.trials)) == list(range(fake_sweeps.FORGET))
    assert sorted(set(pair.clusters)) == [100 + i for i in range(fake_sweeps.BYSTANDER)]
    assert pair.interval == mean_over_units(pair.differences, pair.clusters, pair.trials)[1] and pair.interval is not None
    forget = found(comparison, END, "forget EM").pairs[0]
    assert forget.trials == forget.clusters and forget.over == "clusters"
    assert "over clusters and trials, conditional on this run" in sentence(difference, "a", "b")


def test_missing_paragraphs_leave_the_means(tmp_path):
    fake_sweeps.write_sweep(tmp_path, seeds=1, masks=("gradient", "random"), objectives=("unlearn",), own=False)
    folder_of(tmp_path, "unlearn", "random", 0).joinpath("paragraphs.parquet").unlink()
    (comparison,) = compare(tmp_path).values()
    difference = found(comparison, END, "forget EM")
    expected = [
        json.loads((folder_of(tmp_path, "unlearn", mask, 0) / "result.json").read_text())["after"]["forget"]["em"]
        for mask in ("gradient", "random")
    ]
    assert (difference.mean_a, difference.mean_b) == pytest.approx(tuple(expected)) and difference.unit == "seeds"
