import random

import fake_sweeps
import pytest

from memunlearn.sweeps.checks import CheckMeans, at_level, checks_of, equal_step, levels, rows_at_step
from memunlearn.sweeps.runs import read_run


def path(*points):
    return [CheckMeans(step, em, kl, em / 2) for step, em, kl in points]


def test_the_equal_step_is_the_largest_that_both_have():
    a, b = path((0, 50, 0), (1, 40, 0.1), (3, 30, 0.2), (6, 20, 0.3)), path((0, 50, 0), (1, 45, 0), (3, 9, 1), (4, 5, 2))
    assert equal_step(a, b) == 3
    assert equal_step(a, path((0, 50, 0), (2, 1, 1))) is None
    assert equal_step(a, []) is None


def test_levels_are_interpolated_where_they_are_first_reached():
    checks = path((0, 50, 0.0), (1, 40, 0.1), (3, 20, 0.5), (5, 30, 0.7), (9, 0, 1.5))
    found = at_level(checks, 25)
    assert (found.step, found.retain_val_kl, found.bystander_val_em) == pytest.approx((2.5, 0.4, 12.5))
    assert at_level(checks, 20).step == 3
    assert at_level(checks, 10).step == pytest.approx(5 + 4 * 20 / 30)
    assert at_level(checks, -1) is None
    assert at_level(path((0, 3, 0), (1, 2, 0.1)), 5) is None  # nothing to forget


def test_interpolation_agrees_with_a_walk_in_small_steps():
    draw = random.Random(4)
    for _ in range(20):
        checks = path(*((step, 50 - 4.5 * step + draw.uniform(-4, 4), 0.1 * step) for step in range(12)))
        level = draw.uniform(5, 30)

        def em_at(x, checks=checks):
            earlier, later = checks[int(x)], checks[int(x) + 1]
            return earlier.forget_em + (x - int(x)) * (later.forget_em - earlier.forget_em)

        walked = next(x / 2000 for x in range(22000) if em_at(x / 2000) <= level)
        assert at_level(checks, level).step == pytest.approx(walked, abs=1e-3)
        assert at_level(checks, level).retain_val_kl == pytest.approx(0.1 * walked, abs=1e-3)


def test_a_quantity_that_was_not_measured_stays_unknown():
    checks = [CheckMeans(0, 50, 0.0, None), CheckMeans(1, 10, 0.2, 45.0)]
    assert at_level(checks, 25).bystander_val_em is None and at_level(checks, 25).retain_val_kl == pytest.approx(0.125)


def test_levels_scale_with_the_continuation():
    assert levels(50) == (25, 10, 5)


def test_curve_and_trajectory_say_the_same(tmp_path):
    fake_sweeps.write_run(tmp_path / "both", fake_sweeps.config())
    fake_sweeps.write_run(tmp_path / "curve", fake_sweeps.config(), trajectory=False)
    both, curve = (checks_of(read_run(tmp_path / name, name)) for name in ("both", "curve"))
    assert [check.step for check in both] == [check.step for check in curve]
    assert both[0] == CheckMeans(0, 20.0, 0.0, 20.0) and curve[0] == CheckMeans(0, 20.0, 0.0, None)
    for one, other in zip(both[1:], curve[1:], strict=True):
        assert one.forget_em == pytest.approx(other.forget_em)
        assert one.retain_val_kl == pytest.approx(other.retain_val_kl)
        assert one.bystander_val_em == pytest.approx(other.bystander_val_em)


def test_forget_em_over_some_rows_needs_the_trajectory(tmp_path):
    fake_sweeps.write_run(tmp_path / "0", fake_sweeps.config())
    run = read_run(tmp_path / "0", "0")
    step = checks_of(run)[3].step
    rows = rows_at_step(run.trajectory, "forget", step)
    assert checks_of(run, {1, 5})[3].forget_em == pytest.approx((rows[1][1] + rows[5][1]) / 2)
    assert checks_of(run)[3].forget_em == pytest.approx(sum(em for _, em, _ in rows.values()) / fake_sweeps.FORGET)
    (tmp_path / "0" / "trajectory.parquet").unlink()
    assert checks_of(read_run(tmp_path / "0", "0"), {1, 5}) == ()
