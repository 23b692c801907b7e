"""What evaluate.py says of a patch beside the base model and an oracle: distances, and whether membership shows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from omegaconf import DictConfig
from torch import Tensor
from transformers import PreTrainedModel

from memunlearn.caching.store import Store
from memunlearn.commands.base_measurements import BaseMeasurements
from memunlearn.commands.never_seen import NONE_GIVEN, never_seen
from memunlearn.commands.oracle import forgot_own_text, oracle_of, second_oracle_of, wants_oracle
from memunlearn.commands.run_rows import RunRows
from memunlearn.commands.text_sizes import with_text_sizes
from memunlearn.errors import UserError
from memunlearn.evaluation.membership import BASE, ORACLE, SECOND_ORACLE, UNLEARNED, Members, membership
from memunlearn.evaluation.oracle import Told, beside_oracle
from memunlearn.evaluation.suite import Baseline, Measurement
from memunlearn.models.baking import bake
from memunlearn.models.fingerprints import fingerprint
from memunlearn.models.loading import LoadedModel
from memunlearn.models.patches import Patch
from memunlearn.scoring.forward import ReferenceStates
from memunlearn.scoring.score import ParagraphScores

SETS = ("forget", "bystander", "retain")


@dataclass(frozen=True, kw_only=True)
class Judged:
    """What was measured: rows with their roles, the model with the patch, what the base says of them and what that model does.

    tokenizer: the model's, or None. states: that model's, where it is compared with an oracle. left_out: of
    `paragraphs.unseen`, rows that are like rows that the run used.
    """

    chosen: RunRows
    model: PreTrainedModel
    tokenizer: Any | None
    baseline: Baseline
    measured: Measurement
    states: ReferenceStates | None = None
    left_out: int = 0


def load_oracles(cfg: DictConfig, chosen: RunRows, loaded: LoadedModel) -> dict[str, LoadedModel]:
    """By ORACLE and SECOND_ORACLE, those that are asked for. Raises UserError where a forget row was not found."""
    if not wants_oracle(cfg):
        return {}
    found, of = chosen.found.get("forget", (0, 0))
    if found < of:
        raise UserError(
            f"an oracle is a model without the {of} rows that were to be forgotten, and only {found} of them were found: copy "
            "the rows.safetensors of the run beside its patch"
        )
    forget = chosen.rows.select(_members(chosen, "forget"))
    both = {ORACLE: oracle_of(cfg, forget, loaded), SECOND_ORACLE: second_oracle_of(cfg, forget, loaded)}
    there = {name: oracle for name, oracle in both.items() if oracle is not None}
    if len({fingerprint(oracle.model) for oracle in there.values()}) < len(there):
        raise UserError(
            "reference.second_oracle has the very weights of reference.oracle, and would be no yardstick: give a model that "
            "was trained with another seed, or leave it out"
        )
    return there


def side_by_side(
    cfg: DictConfig, patch: Patch, judged: Judged, oracles: Mapping[str, LoadedModel], store: Store | None
) -> dict[str, Any]:
    """`oracle` (null without one) and `membership` of evaluation.json.

    Raises UserError where an oracle is the unlearned model.
    """
    own = fingerprint(bake(judged.model)) if oracles else None
    for oracle in oracles.values():
        if fingerprint(oracle.model) == own:
            raise UserError(
                f"the oracle {oracle.name} has the very weights of the unlearned model: give a model that never saw the "
                "forgotten rows"
            )
    rows, names = judged.chosen.rows, judged.chosen.names
    unseen = never_seen(cfg, rows, names)
    sets = {name: _members(judged.chosen, name) for name in SETS}
    needed = (torch.stack([unseen, *sets.values()]).any(0)).nonzero().flatten()
    base = _with_text_sizes(judged, judged.baseline.scores.select(needed), needed)
    scores = {BASE: base, UNLEARNED: judged.measured.scores.select(needed)}
    beside = None
    if oracles:
        told = _told(judged, oracles, needed, cfg.batch_size, store)
        scores |= {name: told[name].scores for name in oracles}
        of_sets = {name: members[needed] for name, members in sets.items()}
        beside = {
            "oracle": oracles[ORACLE].name,
            "second_oracle": oracles[SECOND_ORACLE].name if SECOND_ORACLE in oracles else None,
            **beside_oracle(told, of_sets, judged.chosen.clusters[needed], batch_size=cfg.batch_size, seed=cfg.seed),
        }
    own_text = forgot_own_text(patch)
    told_members = _membership(judged, needed, scores, forget=sets["forget"], unseen=unseen, own_text=own_text, seed=cfg.seed)
    return {"oracle": beside, "membership": told_members}


def _told(
    judged: Judged, oracles: Mapping[str, LoadedModel], needed: Tensor, batch_size: int, store: Store | None
) -> dict[str, Told]:
    rows, clusters = judged.chosen.rows.select(needed), judged.chosen.clusters[needed]
    base = judged.baseline.select(needed)
    if judged.states is None:
        raise ValueError("to be compared with an oracle the model's own states are needed")
    unlearned = Told(judged.measured.scores.select(needed), judged.states.select(needed))
    told = {BASE: Told(base.scores, base.states), UNLEARNED: unlearned}
    for name, oracle in oracles.items():
        title, measurements = f"with the {name.replace('_', ' ')}", BaseMeasurements.of(oracle.model, store)
        known = measurements.baseline(
            oracle.model, rows, clusters, batch_size=batch_size, name=title, with_own=False, details=True
        )
        told[name] = Told(_with_text_sizes(judged, known.scores, needed), known.states)
    return told


def _with_text_sizes(judged: Judged, scores: ParagraphScores, needed: Tensor) -> ParagraphScores:
    """With the scores that need the text's size (zlib), where there is a tokenizer."""
    rows, clusters = judged.chosen.rows.select(needed), judged.chosen.clusters[needed]
    measured = Measurement(clusters=clusters, scores=scores, own=None)
    return with_text_sizes(measured, rows, judged.tokenizer).scores


def _membership(
    judged: Judged,
    needed: Tensor,
    scores: Mapping[str, ParagraphScores],
    *,
    forget: Tensor,
    unseen: Tensor,
    own_text: bool,
    seed: int,
) -> dict[str, Any]:
    chosen = judged.chosen
    # Clusters of forgotten rows are on that side only.
    like_forgotten = unseen & torch.isin(chosen.clusters, chosen.clusters[forget])
    unseen = unseen & ~like_forgotten
    why = _why_not(judged, own_text, bool(forget.any()), bool(unseen.any()))
    if why is not None:
        return {"scores": None, "reason": why}
    compared = (forget | unseen)[needed]
    members = Members(
        ids=chosen.rows.ids[needed][compared],
        forgotten=forget[needed][compared],
        clusters=chosen.clusters[needed][compared],
        left_out=judged.left_out + int(like_forgotten.sum()),
    )
    values = {name: one.select(compared).values for name, one in scores.items()}
    return membership(members, values, seed)


def _why_not(judged: Judged, own_text: bool, forgotten: bool, never: bool) -> str | None:
    if not forgotten:
        return "none of the rows that were to be forgotten is here"
    if own_text or judged.chosen.self_generated:
        return "the text that was to be forgotten is a model's own output, and was no training data"
    if not never:
        left_out = f" ({judged.left_out} rows were named, but are like rows that the run used)" if judged.left_out else ""
        return f"{NONE_GIVEN}{left_out}"
    return None


def _members(chosen: RunRows, name: str) -> Tensor:
    return torch.tensor([one == name for one in chosen.names], dtype=torch.bool)
