"""evaluate.py: score paragraphs, find memorized ones, judge a patch or an edited model against its base."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning
import torch
from hydra.utils import instantiate
from omegaconf import DictConfig
from transformers import PreTrainedModel

from memunlearn.attacks.material import Subject
from memunlearn.commands.attacking import NOTHING_FORGOTTEN, attack_models, chosen_attacks, target_of, with_patch
from memunlearn.commands.attacks_folder import remove_attacks
from memunlearn.commands.base_measurements import BaseMeasurements
from memunlearn.commands.call import Call
from memunlearn.commands.certificate import certificate_facts, check_certificate
from memunlearn.commands.downstream import check_reads_text, downstream_of, scores_on_tasks
from memunlearn.commands.environment import environment
from memunlearn.commands.evaluated_sets import columns_of, holds_forgotten, members_of, set_names, summaries_of
from memunlearn.commands.inputs import (
    caps_of,
    check_source,
    choose_device,
    forgets_own_text,
    is_demo,
    load_configured_model,
    load_paragraphs,
    move,
    quiet_libraries,
)
from memunlearn.commands.kept_config import shown
from memunlearn.commands.made_rows import with_made_rows
from memunlearn.commands.measurement_store import open_store, print_reused
from memunlearn.commands.never_seen import check_unseen_of, with_unseen_rows
from memunlearn.commands.oracle import ReferenceModels, check_oracle
from memunlearn.commands.patch_settings import given_on_the_command_line, names_rows, split_seed_of, with_settings_of
from memunlearn.commands.rows_lookup import rows_of_the_run
from memunlearn.commands.run_rows import RunRows
from memunlearn.commands.sampling import sampling_of
from memunlearn.commands.settings import check_settings
from memunlearn.commands.side_by_side import Judged, load_oracles, side_by_side
from memunlearn.commands.sweep_folder import EVALUATION
from memunlearn.commands.text_sizes import with_text_sizes
from memunlearn.demo.model import WHAT_IT_IS
from memunlearn.errors import UserError
from memunlearn.evaluation.downstream import task_entries
from memunlearn.evaluation.suite import Measurement, measure
from memunlearn.evaluation.summary import entry_of, summarize_alternatives
from memunlearn.files.writing import remove_leftovers, write_json, write_parquet
from memunlearn.models.loading import LoadedModel, check_location, load_model
from memunlearn.models.patches import Patch, apply_patch, check_base, load_patch
from memunlearn.models.text_config import vocabulary_size
from memunlearn.paragraphs.bins import bin_labels, em_bins
from memunlearn.paragraphs.clusters import clusters_of
from memunlearn.paragraphs.sources import LoadedParagraphs
from memunlearn.reporting.certificate_page import CERTIFICATE, write_certificate
from memunlearn.reporting.downstream_table import print_downstream
from memunlearn.reporting.side_by_side_tables import print_side_by_side
from memunlearn.reporting.terminal import print_evaluation
from memunlearn.scoring.forward import ReferenceStates
from memunlearn.scoring.score import score


@dataclass(frozen=True)
class Evaluation:
    """directory: where evaluation.json and paragraphs.parquet lie. result: the content of evaluation.json."""

    directory: Path
    result: dict[str, Any]


def evaluate(cfg: DictConfig, directory: Path, call: Call) -> Evaluation:
    """Scores every paragraph; with patch= or reference= also KL and self-EM against the base model.

    With a patch that says which rows played which role in its run, the sets are those, the rows found again by their hashes
    (`rows_of_the_run`). Else they are those that train.py makes of the same paragraphs with the same seed, and rows in none of
    them are in set "none". Raises UserError for everything that the user can mend.
    """
    remove_leftovers(directory)
    check_settings(cfg, call)
    sampling = sampling_of(cfg)
    reference = ReferenceModels.of(cfg).base
    if cfg.patch is not None and reference is not None:
        raise UserError("patch and reference both name a base to compare with: give one of them")
    given = given_on_the_command_line(call)
    patch = None if cfg.patch is None else load_patch(str(cfg.patch))
    if patch is not None:
        cfg = with_settings_of(patch, cfg, given, call.folders)
        check_settings(cfg, call)
    if (patch is None or patch.roles is None) and forgets_own_text(cfg):
        raise UserError(
            "paragraphs.forget_text=own is for train.py, which writes such text: evaluate.py reads it; leave it out"
        )
    attacks = chosen_attacks(cfg)
    quiet_libraries()
    lightning.seed_everything(cfg.seed, workers=True, verbose=False)
    device = choose_device(cfg.accelerator)
    place = environment(device)
    if reference is not None:
        check_location(reference)
    check_oracle(cfg, patch)
    check_unseen_of(cfg, patch, given)
    if patch is None or patch.roles is None:
        check_source(instantiate(cfg.paragraphs.source))
    check_certificate(cfg, patch)
    downstream = downstream_of(cfg)
    # Not before: a setting that is refused is to cost nobody what an earlier call has measured.
    for stale in (EVALUATION, CERTIFICATE):
        (directory / stale).unlink(missing_ok=True)
    remove_attacks(directory)
    loaded = load_configured_model(cfg)
    check_reads_text(downstream, loaded)
    model = loaded.model
    move(model, device, loaded.name)
    base = loaded.model if reference is None else _reference(reference, loaded, device)
    measurements = BaseMeasurements.of(base, open_store(cfg.cache))
    if patch is not None:
        check_base(patch, measurements.fingerprint)
    paragraphs, left_out, split_seed = None, 0, cfg.seed
    oracles: dict[str, LoadedModel] = {}
    if patch is not None and patch.roles is not None:
        chosen, left_out = with_unseen_rows(
            cfg, rows_of_the_run(cfg, patch, patch.roles, measurements, loaded, rows_named=names_rows(given)), loaded, given
        )
        oracles = load_oracles(cfg, chosen, loaded)
    else:
        split_seed = cfg.seed if patch is None else _split_seed(cfg.seed, patch, given)
        paragraphs = load_paragraphs(cfg.paragraphs.source, loaded)
        if paragraphs.asked is not None:
            print(
                "windows side by side can miss what begins between them; this looks everywhere:",
                *call.words("find"),
                flush=True,
            )
        paragraphs = with_made_rows(paragraphs, loaded, measurements, seed=split_seed, batch_size=cfg.batch_size).paragraphs
        chosen = _not_split_yet(paragraphs)

    rows = chosen.rows
    compared = patch is not None or base is not model
    baseline, states = None, None
    base_on_tasks = scores_on_tasks(downstream, base, loaded, cfg.batch_size)
    if compared:
        baseline = measurements.baseline(
            base, rows, chosen.clusters, batch_size=cfg.batch_size, name="with the base model", sampling=sampling
        )
        base_em = baseline.scores.em
        if patch is not None:
            apply_patch(model, patch)
        if oracles:
            states = ReferenceStates.empty(len(rows), rows.continuation_length, model)
        measured = measure(model, baseline, cfg.batch_size, "with the model", record=states)
    else:
        scores = measurements.scores(rows, cfg.batch_size, "scoring", details=True, sampling=sampling)
        measured = Measurement(chosen.clusters, scores, None)
        base_em = measured.scores.em
    on_tasks = scores_on_tasks(downstream, model, loaded, cfg.batch_size) if compared else None
    measured = with_text_sizes(measured, rows, loaded.tokenizer)
    names = chosen.names
    if paragraphs is not None:
        names = set_names(paragraphs, rows, base_em, split_seed, caps_of(cfg))
    if attacks and "forget" not in names:
        raise UserError(NOTHING_FORGOTTEN)
    found, of = chosen.found.get("forget", (0, 0))
    holds = holds_forgotten(rows, names, all_forget=found == of)
    by_em = bin_labels(measured.scores.em, rows.continuation_length)
    bins = [fixed or label for fixed, label in zip(chosen.bins, by_em, strict=True)]
    counts = {one.label: Counter(bins)[one.label] for one in em_bins(rows.continuation_length)}
    members = members_of(names, holds)
    parts = {name: summaries_of(measured, of_set, cfg.seed) for name, of_set in members.items()}
    if chosen.alternatives is not None:
        alternatives, of_rows = chosen.alternatives
        scores = score(model, alternatives, cfg.batch_size, description="scoring alternatives")
        parts["forget"].append(summarize_alternatives(scores, chosen.clusters[of_rows], cfg.seed))
    sets = {name: entry_of(summaries) for name, summaries in parts.items()}
    proof: dict[str, Any] = {"oracle": None, "membership": None}
    if patch is not None and patch.roles is not None and baseline is not None:
        judged = Judged(
            chosen=chosen,
            model=model,
            tokenizer=loaded.tokenizer,
            baseline=baseline,
            measured=measured,
            states=states,
            left_out=left_out,
        )
        proof = side_by_side(cfg, patch, judged, oracles, measurements.store)
    result = {
        "schema": 1,
        "config": shown(cfg),
        "environment": place,
        "seed": cfg.seed,
        "compared_with_base": compared,
        "self_generated": chosen.self_generated,
        "roles": {name: {"found": found, "of": of} for name, (found, of) in chosen.found.items()} or None,
        "bins": counts,
        "sets": sets,
        **proof,
    }
    if downstream is not None and base_on_tasks is not None:
        result["lm_eval"] = task_entries(downstream, base_on_tasks, on_tasks)
    if cfg.certificate.write and patch is not None and baseline is not None:
        result["certificate"] = certificate_facts(
            cfg, patch, model, baseline=baseline, measured=measured, members=members, tokenizer=loaded.tokenizer
        )
    write_parquet(directory / "paragraphs.parquet", columns_of(rows, names, bins, measured, holds))
    write_json(directory / EVALUATION, result)
    print_reused(measurements.store)
    print_evaluation(sets, counts)
    print_side_by_side(proof["oracle"], proof["membership"])
    if "lm_eval" in result:
        print_downstream(result["lm_eval"])
    print(f"wrote {EVALUATION} and paragraphs.parquet ({len(rows)} paragraphs) to {directory}")
    if attacks:
        before, after = (base, model) if patch is None else with_patch(model, patch)
        target = target_of(
            {name: rows.select(of_set) for name, of_set in members.items()},
            measured.clusters[members["forget"]],
            base=before if compared else None,
            patch=patch,
            loaded=loaded,
            batch_size=cfg.batch_size,
            seed=cfg.seed,
        )
        subjects = [Subject("base", before), *([Subject("unlearned", after)] if compared else [])]
        subjects += [Subject("oracle", oracles["oracle"].model)] if oracles else []
        notes = [WHAT_IT_IS] * is_demo(cfg)
        attack_models(attacks, subjects, target, config=shown(cfg), environment=place, notes=notes, directory=directory)
    if cfg.certificate.write:
        print(f"wrote {write_certificate(directory)[0]}")
    return Evaluation(directory, result)


def _not_split_yet(paragraphs: LoadedParagraphs) -> RunRows:
    """Rows that no patch knows the roles of: sets are made of them when the base model has scored them."""
    rows = paragraphs.all_rows
    bins: list[str | None] = [*paragraphs.bins_of_origin] or [None] * len(rows)
    return RunRows(
        rows=rows, names=(), clusters=clusters_of(rows), bins=bins, self_generated=paragraphs.self_generated, found={}
    )


def _split_seed(own: int, patch: Patch, given: Mapping[str, bool]) -> int:
    """The seed of the split: of a patch without roles its run's, unless one is given."""
    known = split_seed_of(patch)
    seed = known if known is not None and "seed" not in given else own
    print(
        "warning: this patch does not say which rows played which role in its run (an older version made it): the sets are "
        f"split anew with seed {seed}, and are the run's own only if paragraphs, settings and memunlearn's version are",
        flush=True,
    )
    return seed


def _reference(name: str, loaded: LoadedModel, device: torch.device) -> PreTrainedModel:
    """The model that KL and self-EM refer to where no patch names it."""
    reference = load_model(name)
    if vocabulary_size(reference) != vocabulary_size(loaded.model):
        raise UserError(
            f"the reference {name} has a vocabulary of {vocabulary_size(reference)}, {loaded.name} one of "
            f"{vocabulary_size(loaded.model)}: give the model that it was made from"
        )
    move(reference, device, name)
    return reference
