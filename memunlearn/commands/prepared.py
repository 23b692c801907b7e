"""What a run measures on the base model before it trains, and what it says of the rows then."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from memunlearn.commands.base_measurements import BaseMeasurements
from memunlearn.commands.resuming import CHECKPOINTS
from memunlearn.commands.sampling import sampling_of
from memunlearn.models.components import WeightTensor
from memunlearn.models.text_ids import no_text
from memunlearn.objectives.material import Objective
from memunlearn.paragraphs.splits import ParagraphSets
from memunlearn.scoring.metric import percentile
from memunlearn.scoring.runs import leading_run, longest_common_run
from memunlearn.unlearning.checks import Check
from memunlearn.unlearning.preparation import Preparation, prepare
from memunlearn.unlearning.stopping import StopRule, rule_for


def prepare_run(
    cfg: DictConfig,
    measurements: BaseMeasurements,
    sets: ParagraphSets,
    *,
    weights: Sequence[WeightTensor],
    objective: Objective,
    stop: StopRule | None,
    directory: Path,
    tokenizer: Any | None,
) -> Preparation:
    """`prepare`, with a line for rows that cannot be edited, for an edit that cannot meet its rule, and the like."""
    rows_at_once = 2 * cfg.batch_size
    alternatives = None
    if objective.needs.alternatives:
        alternatives = partial(
            measurements.alternatives,
            replacements=cfg.objective.get("replacements", 1),
            seed=cfg.seeds.split,
            batch_size=rows_at_once,
            never=no_text(measurements.model, tokenizer),
        )
    preparation = prepare(
        measurements.model,
        sets,
        alternatives,
        needs=objective.needs,
        weights=weights,
        batch_size=rows_at_once,
        directory=directory / CHECKPOINTS,
        measure=partial(measurements.baseline, sampling=sampling_of(cfg)),
        measure_hidden=measurements.hidden_states,
    )
    length = sets.forget.continuation_length
    if preparation.alternatives is not None:
        without = (~preparation.alternatives.found).nonzero().flatten().tolist()
        if without:
            print(
                f"warning: {len(without)} of {len(sets.forget)} forget paragraphs have no alternative (whatever prefix token "
                f"is replaced, the model still says more than {length / 5:g} tokens of the original in a row): they are "
                f"reported, but not in the loss: {', '.join(f'forget {row} ({sets.forget.origin[row]})' for row in without)}"
            )
    if preparation.alternatives is not None and stop is not None:
        # Of an edit that recites every alternative; C where there is none.
        recited, original = preparation.alternatives.paragraphs.continuations, sets.forget.continuations
        shared = leading_run(recited == original)
        mean, p95 = float(shared.double().mean()), percentile(shared, 95)
        run = float(longest_common_run(recited, original).double().mean())
        check = Check(
            step=0,
            forget_em=mean,
            forget_em_p95=p95,
            forget_longest_run=0.0,
            retain_val_kl=0.0,
            bystander_val_em=None,
            alternative_em=length,
            forget_longest_common_run=run,
        )
        if not stop.forgotten(check, length):
            print(
                "warning: this edit is not likely to meet the stop rule: with every alternative recited, mean EM would be "
                f"{mean:.1f}, its 95th percentile {p95:g}, and the mean longest common run {run:.1f} of {length} tokens: "
                "alternatives are missing or begin like the originals; raise objective.replacements, or use objective=unlearn"
            )
    if stop is not None and (why := rule_for(stop, preparation)[1]) is not None:
        print(f"note: bystander EM is reported, but neither stops this run nor chooses its state: {why}")
    for warning in not_memorized(preparation):
        print(f"warning: {warning}")
    return preparation


def not_memorized(preparation: Preparation) -> list[str]:
    """A line where forget rows that were given as ids are not recited: they are trained on, and in every mean."""
    forget = preparation.baselines["forget"]
    length = forget.paragraphs.continuation_length
    below = int((forget.scores.em < length).sum())
    return [f"{below} of {len(forget.paragraphs)} forget paragraphs are not memorized (EM < {length})"] if below else []
