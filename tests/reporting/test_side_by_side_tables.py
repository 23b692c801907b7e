"""What evaluate.py prints of models side by side: in 80 columns, with every reason."""

import io

import pytest
from rich.console import Console

from memunlearn.reporting.side_by_side_tables import print_side_by_side


@pytest.fixture
def console():
    return Console(file=io.StringIO(), width=80, no_color=True, force_terminal=False)


def printed(console):
    lines = console.file.getvalue().splitlines()
    assert max(map(len, lines)) <= 80 and "…" not in console.file.getvalue()
    return lines


def stats(em, nll):
    return {
        "n": 32,
        "clusters": 30,
        "em": em,
        "em_ci": [em - 1, em + 1],
        "longest_run": em + 2,
        "longest_run_ci": None,
        "nll": nll,
        "nll_ci": [nll / 2, nll * 2],
        "memorized": 0.0,
        "memorized_ci": None,
    }


def oracle(second=True):
    names = ["base", "unlearned", "oracle", "second_oracle"][: 3 + second]
    others = [name for name in names if name != "oracle"]
    kl = {"forget": {"mean": 5.929, "ci": [5.36, 6.097], "n": 32}, "retain": None}
    return {
        "oracle": "a",
        "second_oracle": "b",
        "models": {name: {"forget": stats(10.0 + place, 1.5), "bystander": None} for place, name in enumerate(names)},
        "kl": {name: kl for name in others},
        "kl_is": "what it is",
        "nll_distance": {name: {"value": 0.31, "low": None, "high": None, "p_value": 0.0234} for name in others}
        | {"base": {"value": 1.0, "low": 0.75, "high": 1.0, "p_value": 0.0005}},
        "nll_distance_is": "how it is made",
        "notes": ["a note [of a kind]"],
    }


def membership(**others):
    auroc = {"auroc": 0.504, "auroc_ci": [0.382, 0.625]}
    return {
        "figure": "distribution shift",
        "scores": {
            "nll": {"base": auroc, "unlearned": auroc, "oracle": auroc, "privleak": -12.34, "privleak_note": None},
            "own": {"base": auroc, "privleak": None, "privleak_note": "why"},
            "min_k": {"base": auroc, "privleak": None, "privleak_note": "why"},
        },
        "text_classifier": {"auroc": 0.9, "auroc_ci": None},
        "forgotten": {"n": 32, "clusters": 30, "duplicates": 1},
        "never_seen": {"n": 88, "clusters": 80, "duplicates": 0},
        "notes": ["another note"],
        "reason": None,
        **others,
    }


def test_a_model_a_line_and_its_intervals_below(console):
    print_side_by_side(oracle(), None, console)
    lines = printed(console)
    base = next(place for place, line in enumerate(lines) if line.startswith("base"))
    assert lines[base].split() == ["base", "10.0", "12.0", "1.50", "5.93", "-", "1.00", "0.0005"]
    assert lines[base + 1].split() == ["9.0-11.0", "0.75-3.00", "5.36-6.10", "0.75-1.00"]
    itself = next(line for line in lines if line.split()[:2] == ["oracle", "12.0"])
    assert itself.split() == ["oracle", "12.0", "14.0", "1.50", "-", "-", "-", "-"]
    assert any(line.split()[:3] == ["oracle", "2", "13.0"] for line in lines)
    for said in ("32 forgotten rows in 30 clusters, with 95 % intervals", "KS: how it is made", "a note [of a kind]"):
        assert said in lines


def test_without_a_second_oracle(console):
    print_side_by_side(oracle(second=False), None, console)
    assert not any(line.startswith("oracle 2") for line in printed(console))


def test_membership_says_what_it_shows_of_how_many_rows(console):
    print_side_by_side(None, membership(), console)
    lines = printed(console)
    text = " ".join(lines)
    assert text.startswith("distribution shift: AUROC of 32 forgotten rows (30 clusters, 1 duplicate)")
    assert "88 never-seen rows (80 clusters, 0 duplicates)" in text
    place = next(place for place, line in enumerate(lines) if line.startswith("NLL"))
    assert lines[place].split() == ["NLL", "0.504", "0.504", "0.504", "-12.3"]
    assert lines[place + 1].split() == ["0.382-0.625"] * 3
    assert next(line for line in lines if line.startswith("own")).split() == ["own", "0.504", "-", "-", "-"]
    assert "no privleak for own, min-k: why" in lines and "another note" in lines
    assert "told by the text alone: 0.900" in text


def test_what_is_not_known_is_one_line_and_without_a_patch_there_is_nothing(console):
    print_side_by_side(None, {"scores": None, "reason": "no never-seen rows"}, console)
    assert printed(console)[0] == "membership is not known: no never-seen rows"
    nothing = Console(file=io.StringIO(), width=80)
    print_side_by_side(None, None, nothing)
    assert nothing.file.getvalue() == ""
