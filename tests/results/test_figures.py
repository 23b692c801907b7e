import io

import fake_results
import matplotlib
import matplotlib.image
import pytest

from memunlearn.results.figure_data import mask_grid, set_points
from memunlearn.results.figures import before_after, draw, em_nll_scatter, mask_heat_map, training_curves, write_pictures
from memunlearn.results.plots import plots


def drawn(n=5):
    return draw(fake_results.result(), fake_results.curve(), fake_results.paragraphs(n))


def inches(figure):
    return tuple(figure.get_size_inches())


def test_every_figure_is_a_png_of_a_legible_size_and_a_pdf():
    pictures = drawn()
    assert [picture.name for picture in pictures] == ["training", "em", "nll", "em_nll", "mask"]
    for picture in pictures:
        height, width = matplotlib.image.imread(io.BytesIO(picture.png), format="png").shape[:2]
        assert width >= 900 and height >= 300
        assert picture.pdf.startswith(b"%PDF") and b"Type3" not in picture.pdf


def test_the_page_draws_what_the_files_show():
    arguments = (fake_results.result(), fake_results.curve(), fake_results.paragraphs(5))
    assert list(plots(*arguments)) == [picture.name for picture in draw(*arguments)]


def test_figures_leave_no_global_state():
    import matplotlib.pyplot as plt

    backend, fonts = matplotlib.get_backend(), matplotlib.rcParams["pdf.fonttype"]
    drawn()
    assert plt.get_fignums() == [] and matplotlib.get_backend() == backend and matplotlib.rcParams["pdf.fonttype"] == fonts


@pytest.mark.parametrize(
    "curve",
    [
        [{"step": 0, "check/forget_em": 50.0}],
        [{"step": 0, "check/retain_val_kl": 0.1}, {"step": 1, "check/retain_val_kl": float("nan")}, {"check/forget_em": 3.0}],
        [{"step": 0, "check/forget_em": 50.0, "check/forget_longest_run": None}],
    ],
)
def test_curves_with_gaps_are_drawn(curve):
    lines = [line for axes in training_curves(curve).axes for line in axes.lines]
    assert [list(line.get_xdata()) for line in lines] == [[0]]
    assert [trace["x"] for trace in plots({}, curve, [])["training"]["data"]] == [[0]]


def test_the_curve_of_an_edit_shows_the_alternatives():
    curve = [{"step": 0, "check/forget_em": 50.0, "check/alternative_em": 0.5}, {"step": 5, "check/alternative_em": 41.0}]
    lines = {line.get_label(): list(line.get_ydata()) for axes in training_curves(curve).axes for line in axes.lines}
    assert lines == {"forget EM": [50.0], "alternative EM": [0.5, 41.0]}
    assert [(trace["name"], trace["y"]) for trace in plots({}, curve, [])["training"]["data"]] == list(lines.items())


@pytest.mark.parametrize("curve", [[], [{"step": 0, "train/loss": 1.0}], [{"step": 0, "check/forget_em": float("nan")}]])
def test_a_curve_without_checks_is_no_figure(curve):
    assert training_curves(curve) is None and plots({}, curve, []) == {}


def test_without_numbers_there_is_no_figure():
    assert draw({"mask": None}, [], []) == []
    assert before_after([], "em") is None and em_nll_scatter([]) is None and mask_heat_map(None) is None


def test_many_sets_get_room():
    numbers = {"index": 0, "em_before": 50, "em_after": 50, "nll_before": 0.0, "nll_after": 0.0}
    points = set_points([{"set": f"set_{i}", **numbers} for i in range(8)])
    assert inches(before_after(points, "em"))[0] > 10


def test_large_sets_are_thinned_evenly_and_say_so():
    row = {"set": "retain", "em_before": 0, "em_after": 0, "nll_before": 1.0, "nll_after": 1.0}
    (points,) = set_points([{**row, "index": index} for index in range(2500)])
    assert points.index[:3] == [0, 2, 5] and points.index[-1] == 2497 and len(points.index) == len(points.em[0]) == 1000
    assert points.label == "retain\n(2,500 rows, 1,000 drawn)"


def test_rows_without_finite_numbers_are_not_drawn():
    row = {"set": "retain", "index": 1, "em_before": 0, "em_after": 0, "nll_before": 1.0, "nll_after": float("inf")}
    assert set_points([row, {"set": "retain", "em_before": 3}]) == []


def test_figures_are_the_same_every_time():
    assert drawn() == drawn()


def test_pictures_replace_those_of_an_earlier_run(tmp_path):
    (tmp_path / "figures").mkdir()
    for stale in ("old.png", "old.pdf", "notes.txt"):
        (tmp_path / "figures" / stale).touch()
    pictures = drawn()[:1]
    write_pictures(tmp_path / "figures", pictures)
    assert {path.name for path in (tmp_path / "figures").iterdir()} == {"training.png", "training.pdf", "notes.txt"}
    assert (tmp_path / "figures" / "training.png").read_bytes() == pictures[0].png


def test_the_grid_orders_layers_by_number_and_knows_shares():
    counts = {"0.q": 12, "10.mlp_in": 3, "2.q": 1400}
    grid = mask_grid({"per_component": counts, "size_per_component": {"0.q": 48, "10.mlp_in": 4, "2.q": 2800, "2.mlp_in": 4}})
    assert grid.kinds == ["q", "mlp_in"] and grid.layers == ["0", "2", "10"]
    assert grid.counts == [[12, 0], [1400, 0], [0, 3]]
    assert grid.shares == [[25.0, None], [50.0, 0.0], [None, 75.0]]


def test_a_grid_without_sizes_or_layers():
    grid = mask_grid({"per_component": {"q": 2}})
    assert (grid.kinds, grid.layers, grid.counts, grid.shares) == (["q"], ["-"], [[2]], None)
    assert mask_heat_map(grid) is None and mask_grid({"k": 5}) is None and mask_grid(None) is None
