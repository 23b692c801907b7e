"""What steps of K-FAC are predicted to cost, and what they cost, on the demo: `python -m benchmarks.step_cost`.

Every step is as long as its predicted KL says (optimizer.probe_rows=0). Measured: KL(before, after the step) on retain_val, of
which the curvature has seen nothing.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

import lightning
import torch
from torch import Tensor

import memunlearn as mu
from memunlearn.models.components import eligible_weights
from memunlearn.models.sparse_delta import delta_parameters
from memunlearn.objectives.losses import token_kl
from memunlearn.scoring.forward import continuation_logits


class Costs(lightning.Callback):
    """predicted, measured: of each step, nats a token. curvature: that of the steps; rows: on which is measured."""

    def __init__(self, model: Any, curvature: mu.Curvature, rows: mu.ParagraphSet) -> None:
        self.model, self.curvature, self.rows = model, curvature, rows
        self.predicted: list[float] = []
        self.measured: list[float] = []

    def on_train_batch_start(self, *_: Any) -> None:
        self.deltas, self.said = self._deltas(), self._said()

    def on_train_batch_end(self, *_: Any) -> None:
        change = {name: delta - self.deltas[name] for name, delta in self._deltas().items()}
        self.predicted.append(float(self.curvature.predicted_kl(change)))
        self.measured.append(float(token_kl(self.said, self._said()).mean()))

    def _deltas(self) -> dict[str, Tensor]:
        return {name: delta.detach().clone() for name, delta in delta_parameters(self.model).items()}

    @torch.no_grad()
    def _said(self) -> Tensor:
        parts = self.rows.ids.split(16)
        return torch.cat([continuation_logits(self.model, ids, self.rows.continuation_length) for ids in parts])


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    arguments.add_argument("--seed", type=int, default=0, help="of the split into sets, labels and batches")
    arguments.add_argument("--steps", type=int, default=8)
    arguments.add_argument("--max-kl", type=float, default=3e-5, help="of a step, as predicted; nats a token")
    asked = arguments.parse_args()
    demo = mu.Demo()
    model, corpus = mu.DemoModelSource(demo).load().model, mu.DemoSource(demo).load().corpus
    assert corpus is not None
    sets = mu.split_by_em(corpus, mu.score(model, corpus).em, seed=asked.seed, caps=mu.Caps())
    weights = eligible_weights(model)
    # What the steps are solved with, too: the same rows, labels and batches.
    curvature = mu.measure_curvature(model, weights, sets.retain_train, mu.Reading(batch_size=32, seed=asked.seed))
    costs = Costs(model, curvature, sets.retain_val)

    def trainer(callbacks: Sequence[lightning.Callback], _: int | None) -> lightning.Trainer:
        return lightning.Trainer(
            max_steps=asked.steps,
            accelerator="cpu",
            devices=1,
            logger=False,
            enable_checkpointing=False,
            enable_model_summary=False,
            callbacks=[*callbacks, costs],
        )

    mu.unlearn(
        model,
        mu.select_all(weights),
        mu.prepare(model, sets, needs=mu.Demote().needs),
        mu.Demote(),
        mu.Kfac(relative_norm=None, max_kl=asked.max_kl, probe_rows=0, forget_inputs=0),
        stop=None,
        make_trainer=trainer,
        seed=asked.seed,
        weights=weights,
    )
    print(f"demo, seed {asked.seed}: KL of each step, nats a token")
    print("step  predicted  measured on retain_val  ratio")
    for number, (predicted, measured) in enumerate(zip(costs.predicted, costs.measured, strict=True), 1):
        print(f"{number:4}  {predicted:9.2e}  {measured:22.2e}  {measured / predicted:5.1f}")


if __name__ == "__main__":
    main()
