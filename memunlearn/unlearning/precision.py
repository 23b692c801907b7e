"""The base model as training sees it: in the precision of the run, where that is not fp32."""

from __future__ import annotations

from dataclasses import replace

import torch
from lightning.pytorch.plugins.precision import Precision
from transformers import PreTrainedModel

from memunlearn.evaluation.suite import Baseline
from memunlearn.objectives.losses import kl
from memunlearn.paragraphs.paragraph_set import ParagraphSet
from memunlearn.scoring.forward import ReferenceStates, continuation_logits
from memunlearn.scoring.score import ParagraphScores, reference_states, score
from memunlearn.unlearning.preparation import Preparation, measure_layer

FULL = "32-true"
COMPARED = ("retain_train", "retain_val", "protected")
SCORED = ("forget", "bystander_val")
ROUNDING = 1e-6  # nats per token


def measured_in(precision: Precision, model: PreTrainedModel, preparation: Preparation, batch_size: int) -> Preparation:
    """The preparation with everything that the loss and the checks look at measured in the run's precision.

    Under bf16 a model differs from itself in fp32: KL(base in fp32, base in bf16) is not 0, and its gradient, larger than the
    forget term's, would lead training nowhere. So the loss and the checks compare bf16 with bf16; what is reported before and
    after stays in fp32. model: the base model (deltas of 0 do no harm). batch_size: rows of one training batch, both sets
    together: kernels may differ with it, and rounding with the kernels.
    """
    if precision.precision == FULL:
        return preparation
    baselines = dict(preparation.baselines)

    def known_states(rows: ParagraphSet, name: str) -> tuple[ParagraphScores, ReferenceStates]:
        what = f"scoring {name} in {precision.precision}"
        return reference_states(model, rows, batch_size, preparation.directory, what)

    with precision.forward_context():
        for name in COMPARED:
            if name in baselines:
                scores, states = known_states(baselines[name].paragraphs, name)
                baselines[name] = replace(baselines[name], scores=scores, states=states)
        for name in SCORED:
            scores = score(model, baselines[name].paragraphs, batch_size)
            baselines[name] = replace(baselines[name], scores=scores)
        _warn_of_rounding(model, preparation, baselines["retain_train"], batch_size)
        alternatives = preparation.alternative_scores
        if alternatives is not None:
            alternatives = score(model, preparation.loss_rows, batch_size)
        by_side = preparation.rows_by_side
        states_by_side = {side: known_states(by_side[side], side)[1] for side in preparation.states}
        hidden = measure_layer(model, preparation, batch_size)
    return replace(preparation, baselines=baselines, alternative_scores=alternatives, states=states_by_side, hidden=hidden)


@torch.no_grad()
def _warn_of_rounding(model: PreTrainedModel, preparation: Preparation, retain: Baseline, batch_size: int) -> None:
    """One line if a batch as training makes them gives the base model another distribution than the one just measured."""
    forget, rows = preparation.loss_rows.ids[:1], torch.arange(min(len(retain.paragraphs), batch_size - 1))
    ids = torch.cat([forget, retain.paragraphs.ids[rows]])
    logits = continuation_logits(model, ids, retain.paragraphs.continuation_length)[1:]
    itself = float(kl(retain.states.logits(rows), logits))
    if not itself <= ROUNDING:
        print(
            f"warning: in this precision the KL of the base model with itself is {itself:.1g} nats per token, as kernels round "
            "otherwise in other batches: the loss pulls at rounding; compare with trainer.precision=32-true",
            flush=True,
        )
