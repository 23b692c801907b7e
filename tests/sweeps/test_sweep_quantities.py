"""Columns of a sweep's tables: from the list of metrics, with values of rows and of results."""

import dataclasses

import pytest

from memunlearn.scoring.metric import TOKENS, FromPass, Metric, Unit
from memunlearn.scoring.metrics import ALTERNATIVE_EM, EM, KL, MEMORIZED, METRICS, NLL, SELF_EM
from memunlearn.sweeps.quantities import (
    BYSTANDER_EM,
    BYSTANDER_VAL_EM,
    FORGET_EM,
    RETAIN_KL,
    RETAIN_VAL_KL,
    Column,
    Quantity,
    columns,
)


def test_the_columns_of_the_tables_in_their_order():
    assert [(column.quantity.label, column.quantity.unit, column.quantity.digits) for column in columns()] == [
        ("forget EM", "tokens", 2),
        ("forget longest run", "tokens", 2),
        ("forget longest common run", "tokens", 2),
        ("forget NLL", "nats per token", 3),
        ("bystander EM", "tokens", 2),
        ("retain KL", "nats per token", 4),
        ("retain self-EM", "tokens", 2),
        ("suspected EM", "tokens", 2),
        ("alternative EM", "tokens", 2),
    ]


def test_a_metric_that_is_swept_has_a_column_a_set(monkeypatch):
    misses = Metric(
        key="misses",
        label="wrong tokens",
        unit=TOKENS,
        digits=0,
        definition="",
        source=FromPass(lambda given: given.hits.sum(1)),
        swept=("near", "forget"),
    )
    monkeypatch.setattr("memunlearn.sweeps.quantities.METRICS", [*METRICS, misses])
    labels = [column.quantity.label for column in columns()]
    assert labels.index("forget wrong tokens") < labels.index("bystander EM") < labels.index("near wrong tokens")
    assert labels[-1] == "alternative EM"


def test_named_quantities_are_those_of_the_columns():
    assert FORGET_EM == Column(EM, "forget").quantity != BYSTANDER_EM == Column(EM, "bystander").quantity
    assert (BYSTANDER_VAL_EM.label, RETAIN_VAL_KL.label, RETAIN_KL.label) == ("bystander_val EM", "retain_val KL", "retain KL")


def test_only_what_is_decoded_or_edited_or_suspected_is_optional():
    optional = {column.quantity.label for column in columns() if column.is_optional}
    assert optional == {"forget longest common run", "suspected EM", "alternative EM"}


def test_the_value_of_a_row_is_that_after_the_run_in_the_unit_of_tables():
    row = {"set": "forget", "em_before": 50, "em_after": 3, "kl": 0.25, "self_em": None, "alternative_em": 41}
    assert Column(EM, "forget").value_after(row) == 3 and Column(EM, "bystander").value_after(row) is None
    assert Column(KL, "forget").value_after(row) == 0.25 and Column(ALTERNATIVE_EM, "forget").value_after(row) == 41
    assert Column(SELF_EM, "forget").value_after(row) is None and Column(NLL, "forget").value_after(row) is None
    assert Column(MEMORIZED, "forget").value_after(row) is None  # no value of a row
    percent = dataclasses.replace(KL, unit=Unit("%", None, scale=100.0))
    assert Column(percent, "forget").value_after(row) == 25.0


def test_the_mean_of_a_result_is_that_after_the_run():
    result = {"before": {"forget": {"em": 50.0}}, "after": {"forget": {"em": 3.5, "memorized": 0.25}, "near": None}}
    assert Column(EM, "forget").mean_after(result) == 3.5 and Column(KL, "forget").mean_after(result) is None
    assert Column(EM, "near").mean_after(result) is None and Column(EM, "retain").mean_after(result) is None
    assert Column(MEMORIZED, "forget").mean_after(result) == 25.0


@pytest.mark.parametrize(("digits", "said"), [(0, ("3", "-3", "-4 to +0")), (2, ("3.14", "-3.14", "-3.50 to +0.00"))])
def test_how_a_quantity_is_written(digits, said):
    quantity = Quantity("x", "tokens", digits)
    assert (quantity.text(3.14159), quantity.signed(-3.14159), quantity.signed_to((-3.5001, -0.001))) == said
    assert Quantity("x", "tokens", 1).to((2.0, 3.25)) == "2.0 to 3.2"
