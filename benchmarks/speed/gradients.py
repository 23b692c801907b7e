"""Attribution and curvature, beside the passes that they are made of."""

from __future__ import annotations

import torch
from torch import Tensor

import memunlearn as mu
from benchmarks.speed.sizes import random_model, random_rows
from benchmarks.speed.workload import OURS, AnswersDiffer, Given, Workload, measured

ROW_BY_ROW = "a backward pass a row, logits of every token"
PASS = "a forward and a backward pass, nothing kept"
CLOSE = 1e-3
"""Of the norm: what two orders of adding leave, in fp32."""


def gradients(given: Given) -> list[Workload]:
    """|g| of all eligible weights, and the Kronecker factors, on the rows of a batch."""
    model = random_model(given.size, given.device)
    rows, weights = random_rows(given.size, given.lengths, given.rows), mu.eligible_weights(model)
    names = [weight.name for weight in weights]
    tokens = given.rows * given.lengths.read

    def attributed() -> dict[str, Tensor]:
        with given.autocast():
            return mu.attribute(model, names, rows, rows, batch_size=given.rows)

    def row_by_row() -> dict[str, Tensor]:
        model.requires_grad_(False)
        chosen = [model.get_parameter(name).requires_grad_() for name in names]
        for parameter in chosen:
            parameter.grad = None
        for row in rows.ids.to(model.device):
            labels = row.clone()
            labels[: given.lengths.prefix] = -100
            with given.autocast():
                loss = model(input_ids=row.unsqueeze(0), labels=labels.unsqueeze(0)).loss
            (loss / len(rows)).backward()
        found = {name: p.grad.abs() for name, p in zip(names, chosen, strict=True) if p.grad is not None}
        for parameter in chosen:
            parameter.grad = None
        return found

    def measured_factors() -> mu.Curvature:
        return mu.measure_curvature(model, weights, rows, mu.Reading(batch_size=given.rows))

    def one_pass() -> None:
        model.requires_grad_(False)
        chosen = [model.get_parameter(name).requires_grad_() for name in names]
        ids = rows.ids.to(model.device)
        torch.autograd.grad(model(input_ids=ids, labels=ids).loss, chosen)

    def check(answers: dict[str, dict[str, Tensor]]) -> None:
        ours, theirs = answers[OURS], answers[ROW_BY_ROW]
        apart = sum(float((ours[name] - theirs[name]).square().sum()) for name in names)
        total = sum(float(ours[name].square().sum()) for name in names)
        if given.precision == "32-true" and (not total or apart > CLOSE**2 * total):
            raise AnswersDiffer(f"attributions differ by {apart**0.5:.3g} of {total**0.5:.3g}")

    return [
        measured(
            given,
            {OURS: attributed, ROW_BY_ROW: row_by_row},
            name="attribution",
            title="Attribution, |g| of all eligible weights",
            rows=given.rows,
            tokens=tokens,
            check=check,  # type: ignore[arg-type]
            said="The same gradients.",
        ),
        measured(
            given,
            {OURS: measured_factors, PASS: one_pass},
            name="curvature",
            title="Curvature, the Kronecker factors of all eligible weights",
            rows=given.rows,
            tokens=tokens,
            said="There is no usual alternative: beside the pass that it rides on.",
        ),
    ]
