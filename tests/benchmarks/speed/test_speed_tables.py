"""The file as tables, and the tables' place in a page."""

import pytest

from benchmarks.rounds import Spread
from benchmarks.speed.tables import page, shown, table
from benchmarks.speed.workload import PRODUCTS


def workload(**changes):
    whole = {
        "name": "scoring",
        "title": "Scoring",
        "rows": 2,
        "tokens": 100,
        "seconds": {"memunlearn": [1.0, 2.0, 4.0], "other": [3.0, 4.0, 20.0], PRODUCTS: [0.5, 1.0, 3.0]},
        "peak_mib": {"memunlearn": 1500.4, "other": None, PRODUCTS: 0.0},
        "flops": {"memunlearn": 6_000_000_000, PRODUCTS: 6_000_000_000},
        "said": "The same EM.",
        "parts": False,
    }
    return whole | changes


def test_a_table_says_times_rates_memory_and_ratios_of_a_round():
    title, _, heads, _, ours, other, products, _ = table(workload())
    assert title == "**Scoring.** 2 rows. The same EM."
    assert heads == "|  | seconds | tokens/s | GFLOP/s | MiB | times the first |"
    assert ours == "| memunlearn | 2 (1 to 4) | 50 | 3 | 1,500 | 1.00 |"
    assert other == "| other | 4 (3 to 20) | 25 |  |  | 3.00 (2.00 to 5.00) |"
    assert products == f"| {PRODUCTS} | 1 (0.5 to 3) |  | 6 | 0 | 0.50 (0.50 to 0.75) |"


def test_parts_are_shares_of_all_and_what_was_not_measured_has_no_column():
    seconds = {"start-up": [1.0], "training": [3.0]}
    lines = table(workload(tokens=0, rows=0, peak_mib={}, flops={}, said="", seconds=seconds, parts=True))
    assert lines[0] == "**Scoring.**" and lines[2] == "|  | seconds | of all |"
    assert lines[4:6] == ["| start-up | 1 | 25% |", "| training | 3 | 75% |"]


def test_numbers_have_three_digits_or_two_behind_the_point():
    assert shown(Spread(0.012345, 0.01, 1234.5)) == "0.0123 (0.01 to 1.23e+03)"
    assert shown(Spread(2.0, 2.0, 2.0), digits=2) == "2.00"


@pytest.mark.parametrize(("device", "said"), [("cpu", "an EPYC, 2 threads, PyTorch"), ("cuda", "an EPYC, PyTorch")])
def test_a_page_names_the_machine_and_the_command(device, said):
    measured = {
        "command": "python -m benchmarks.speed --size 125m",
        "machine": {"device": device, "name": "an EPYC", "threads": 2, "torch": "2.13"},
        "settings": {"size": "125m", "precision": "32-true", "prefix": 50, "continuation": 40},
        "workloads": [workload()],
    }
    text = page(measured)
    assert text.startswith("`python -m benchmarks.speed --size 125m`, on an EPYC") and said in text
    assert "50 + 40 tokens" in text and "**Scoring.**" in text
