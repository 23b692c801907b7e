import io

import fake_results
import matplotlib
import matplotlib.image
import pytest

from memunlearn.reporting.figures import em_before_after, training_curves


def size(png):
    return matplotlib.image.imread(io.BytesIO(png), format="png").shape


def test_figures_are_png_of_a_legible_size():
    assert size(training_curves(fake_results.curve()))[:2] == (750, 1050)
    assert size(em_before_after(fake_results.paragraphs(5)))[:2] == (600, 1050)


def test_figures_leave_no_global_state():
    import matplotlib.pyplot as plt

    backend = matplotlib.get_backend()
    training_curves(fake_results.curve())
    assert plt.get_fignums() == [] and matplotlib.get_backend() == backend


@pytest.mark.parametrize(
    "curve",
    [
        [{"step": 0, "check/forget_em": 50.0}],
        [{"step": 0, "check/retain_val_kl": 0.1}, {"step": 1, "check/retain_val_kl": float("nan")}, {"check/forget_em": 3.0}],
        [{"step": 0, "check/forget_em": 50.0, "check/forget_longest_run": None}],
    ],
)
def test_curves_with_gaps_are_drawn(curve):
    assert training_curves(curve).startswith(b"\x89PNG")


@pytest.mark.parametrize("curve", [[], [{"step": 0, "train/loss": 1.0}], [{"step": 0, "check/forget_em": float("nan")}]])
def test_a_curve_without_checks_is_no_figure(curve):
    assert training_curves(curve) is None


def test_strips_of_constant_single_and_many_sets():
    rows = [{"set": f"set_{i}", "em_before": 50, "em_after": 50} for i in range(8)]
    assert size(em_before_after(rows))[1] > 1500
    assert em_before_after([]) is None


def test_strips_are_the_same_every_time():
    rows = fake_results.paragraphs(5)
    assert em_before_after(rows) == em_before_after(rows)
