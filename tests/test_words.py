"""Numbers, intervals, p-values and counts as sentences and tables write them."""

import math

import pytest

from memunlearn.words import (
    counted,
    duration,
    either,
    fixed,
    listed,
    number,
    p_value,
    p_value_alone,
    plural,
    readings,
    rows,
    settings_text,
    signed,
    signed_to,
    to,
    with_interval,
)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (0, "0"),
        (3.14159, "3.14"),
        (12.34, "12.3"),
        (123.4, "123"),
        (999.6, "1000"),
        (1250.4, "1,250"),
        (-1250.6, "-1,251"),
        (0.0421, "0.0421"),
        (0.000012345, "0.0000123"),
        (2.5, "2.5"),
        (7.0, "7"),
        (None, "unknown"),
        (math.nan, "unknown"),
        (-math.inf, "unknown"),
    ],
)
def test_three_significant_digits_and_no_powers_of_ten(value, said):
    assert number(value) == said


def test_a_number_with_its_interval_and_unit():
    known = {"value": 3.2, "low": 2.9, "high": 3.5}
    assert with_interval(known, "tokens") == "3.2 tokens (95 % interval 2.9 to 3.5)"
    assert with_interval({**known, "low": None}, "tokens") == "3.2 tokens" and with_interval({**known, "low": None}) == "3.2"


@pytest.mark.parametrize(("value", "said"), [(0.0009, "< 0.001"), (0.001, "0.001"), (0.0449, "0.045"), (1.0, "1.000")])
def test_p_values(value, said):
    assert p_value_alone(value) == said
    assert p_value(value) == (f"p {said}" if said.startswith("<") else f"p = {said}")
    assert p_value(None) == "no p-value"


def test_decimals_as_asked_and_no_sign_on_zero():
    assert [fixed(3.14159, digits) for digits in (0, 1, 3)] == ["3", "3.1", "3.142"]
    assert fixed(-0.004, 2) == "0.00" and fixed(-0.006, 2) == "-0.01"
    assert [signed(value, 2) for value in (0.25, -1.5, -0.004, 0.004)] == ["+0.25", "-1.50", "+0.00", "+0.00"]


def test_intervals():
    assert to((2.75, 3.604), 1) == "2.8 to 3.6"
    assert signed_to((-3.1, 0.25), 2) == "-3.10 to +0.25" and signed_to((-0.001, 0.0), 2) == "+0.00 to +0.00"


def test_counts_and_plurals():
    assert [plural("row", count) for count in (0, 1, 2, None)] == ["rows", "row", "rows", "rows"]
    assert [counted(count, "seed") for count in (0, 1, 1280)] == ["0 seeds", "1 seed", "1,280 seeds"]
    assert rows(1) == "1 row" and rows(2) == "2 rows"


def test_lists_in_words():
    assert [listed(parts) for parts in (["a"], ["a", "b"], ["a", "b", "c"])] == ["a", "a and b", "a, b and c"]
    assert [either(parts) for parts in (["a"], ["a", "b"], ["a", "b", "c"])] == ["a", "a or b", "a, b or c"]


def test_readings_of_rows_that_were_measured_more_than_once():
    assert readings(32, 32, "row") == "32 rows" and readings(80, 32, "text") == "80 readings of 32 texts"
    assert readings(2, 1, "row") == "2 readings of 1 row"


def test_settings_in_words():
    assert settings_text({"steps": 30, "lr": 2e-4, "top_k": "all"}) == "steps 30, lr 0.0002, top k all"
    assert settings_text({}) == ""


def test_a_share_is_written_as_it_is_asked():
    share = {"value": 0.125, "low": 0.05, "high": 0.25}

    def percent(value):
        return f"{number(100 * value)} %"

    assert with_interval(share, say=percent) == "12.5 % (95 % interval 5 % to 25 %)"
    assert with_interval({**share, "low": None}, "of rows", percent) == "12.5 % of rows"


def test_tables_and_sentences_agree_on_a_p_value():
    for value in (0.0001, 0.00099999, 0.0014, 0.05, 0.999):
        assert p_value(value).removeprefix("p ").removeprefix("= ") == p_value_alone(value)


def test_digits_of_an_interval_do_not_depend_on_its_size():
    assert to((0.0, 123.456), 2) == "0.00 to 123.46" and to((-0.001, 0.0), 1) == "0.0 to 0.0"


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0.4, "0 s"), (89, "89 s"), (91, "2 min"), (3540, "59 min"), (3599, "1 h 0 min"), (9000, "2 h 30 min")],
)
def test_durations(seconds, said):
    assert duration(seconds) == said
