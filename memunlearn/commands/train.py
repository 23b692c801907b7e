"""train.py: unlearn or edit, measure before and after, write the run's folder."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from memunlearn.commands.afterwards import Afterwards
from memunlearn.commands.attacking import attacked_run, chosen_attacks
from memunlearn.commands.attacks_folder import remove_attacks
from memunlearn.commands.base_measurements import BaseMeasurements
from memunlearn.commands.call import Call
from memunlearn.commands.curve_file import CurveFile
from memunlearn.commands.environment import environment
from memunlearn.commands.input_files import input_digests
from memunlearn.commands.inputs import forgets_own_text, is_demo, load_inputs, move, quiet_libraries, split
from memunlearn.commands.kept_config import damage_named, shown
from memunlearn.commands.kept_patches import KeptPatches
from memunlearn.commands.kept_rows import keep_rows
from memunlearn.commands.learning_rates import length_of_steps
from memunlearn.commands.made_rows import NOT_MEASURED, OTHER_MEMORIZED, with_made_rows
from memunlearn.commands.measurement_store import open_store, print_reused
from memunlearn.commands.paragraph_table import check_decodes
from memunlearn.commands.prepared import not_memorized, prepare_run
from memunlearn.commands.recited_texts import with_recited_rows
from memunlearn.commands.resuming import (
    CHECKPOINTS,
    CONFIG,
    checkpoint_of,
    finished_by_itself,
    finished_in_sweep,
    finished_result,
    interrupted_in_sweep,
    remember,
    remembered,
    same_inputs,
)
from memunlearn.commands.run_checks import check_run
from memunlearn.commands.run_folder import result_of, write_run
from memunlearn.commands.run_weights import weights_of_run
from memunlearn.commands.sampling import sampling_of
from memunlearn.commands.settings import check_settings
from memunlearn.commands.several.devices import check_shared, training_devices
from memunlearn.commands.several.start import working_together
from memunlearn.commands.sweep_folder import RESULT
from memunlearn.commands.text_sizes import outcome_with_text_sizes
from memunlearn.commands.tracking import finish_tracking, start_tracking, track_result
from memunlearn.commands.trained_with import ingredients_of, stop_of
from memunlearn.demo.model import WHAT_IT_IS
from memunlearn.errors import UserError
from memunlearn.files.writing import remove_leftovers
from memunlearn.models.text_config import vocabulary_size
from memunlearn.paragraphs.splits import describe
from memunlearn.scoring.forward import ReferenceStates

SELF_GENERATED = (
    "These continuations appear to be the model's own output, so EM on them compares the model with itself: read self-EM first."
)

OWN_TEXT = (
    "The forget set is not memorized text: it holds the model's own greedy continuations of non-memorized prefixes, so "
    "that EM is C by construction. Compare with a run with paragraphs.forget_text=memorized."
)


@dataclass(frozen=True)
class RunResult:
    """directory: the run's folder. result: the content of its result.json."""

    directory: Path
    result: dict[str, Any]


def train(cfg: DictConfig, directory: Path, call: Call) -> RunResult:
    """One run, from its composed config to its folder.

    Raises UserError for everything that the user can mend; nothing half-written is left under a final name then.
    """
    started = time.perf_counter()
    if (finished_folder := finished_in_sweep(cfg, directory, call.sweep)) is not None:
        return _skipped(finished_folder)
    if finished_by_itself(cfg, directory, call.sweep):
        print(f"{directory} is complete already, with the same settings: overwrite=true would do it again")
        return _finished(directory)
    if not cfg.resume:
        (directory / RESULT).unlink(missing_ok=True)
    check_settings(cfg, call)
    resume_from: Path | None = None
    curve_rows: list[dict[str, float]] = []
    if cfg.resume:
        cfg = remembered(directory, cfg, call)
        if (finished := finished_result(directory)) is not None:
            print(f"{directory} is complete: nothing to resume")
            return RunResult(directory, finished)
        with damage_named(directory / CONFIG):
            check_run(cfg, call)
        resume_from, curve_rows = checkpoint_of(directory)
    remove_leftovers(directory)
    remove_attacks(directory)
    quiet_libraries()
    devices = training_devices(cfg.trainer)
    device = devices[0]
    check_run(cfg, call)
    if len(devices) > 1:
        check_shared(instantiate(cfg.protocol), instantiate(cfg.objective), cfg.get("rehearsal"))
    place = environment(device)
    lightning.seed_everything(cfg.seeds.training, workers=True, verbose=False)
    inputs = input_digests(OmegaConf.to_container(cfg, resolve=True))  # type: ignore[arg-type]
    if cfg.resume:
        same_inputs(directory, inputs)
    going_on = cfg.resume or interrupted_in_sweep(cfg, directory, inputs, call.sweep)
    if going_on and not cfg.resume:
        resume_from, curve_rows = checkpoint_of(directory)
        print(f"going on: this job was interrupted, in {directory}", flush=True)
    loaded, paragraphs = load_inputs(cfg)
    check_decodes(loaded.tokenizer, vocabulary_size(loaded.model))
    weights = weights_of_run(cfg, loaded, device)
    move(loaded.model, device, loaded.name)
    measurements = BaseMeasurements.of(loaded.model, open_store(cfg.cache))
    asked = with_recited_rows(cfg, paragraphs, loaded, measurements, sampling_of(cfg))
    made = with_made_rows(asked.paragraphs, loaded, measurements, seed=cfg.seeds.split, batch_size=2 * cfg.batch_size)
    paragraphs = made.paragraphs
    sets = split(cfg, measurements, paragraphs)
    print("\n".join(describe(sets)), flush=True)

    command = remember(cfg, directory, inputs, call, resumed=going_on)
    config = shown(cfg)
    loggers = [CurveFile(directory, curve_rows), *start_tracking(cfg, config, directory, call.sweep)]
    ReferenceStates.remove_files(directory / CHECKPOINTS)
    kept, afterwards = KeptPatches(directory, measurements.fingerprint, config, call.words("evaluate")), Afterwards()
    failed = True
    try:
        objective, stop = instantiate(cfg.objective), stop_of(cfg)
        preparation = prepare_run(
            cfg,
            measurements,
            sets,
            weights=weights,
            objective=objective,
            stop=stop,
            directory=directory,
            tokenizer=loaded.tokenizer,
        )
        given = ingredients_of(
            cfg,
            loaded.model,
            weights,
            preparation,
            objective=objective,
            stop=stop,
            attribution=measurements.attribution(instantiate(cfg.attribution)),
            directory=directory,
            loggers=loggers,
            resume_from=resume_from,
            keep=kept.keep,
            measure_curvature=measurements.curvature,
        )
        keep_rows(directory, sets, preparation, paragraphs)
        prepared = time.perf_counter()
        with working_together(cfg, directory, devices, preparation, resume_from):
            outcome = instantiate(cfg.protocol).run(given)
        outcome = outcome_with_text_sizes(outcome, loaded.tokenizer)
        print_reused(measurements.store)
        seconds = {"preparation": prepared - started, "protocol": time.perf_counter() - prepared}
        notes = [WHAT_IT_IS] * is_demo(cfg)
        notes += [] if paragraphs.beginning is None else [paragraphs.beginning]
        notes += [SELF_GENERATED] * paragraphs.self_generated + [OWN_TEXT] * forgets_own_text(cfg) + made.said
        notes += [f"{line}: they are trained on, and in every mean." for line in not_memorized(preparation)]
        if paragraphs.forget is not None and not outcome.sets.keys() & OTHER_MEMORIZED:
            notes.append(NOT_MEASURED)
        place = place | {"command": command}
        result = result_of(config, place, outcome, preparation=preparation, weights=weights, seconds=seconds, notes=notes) | {
            "inputs": inputs
        }
        if asked.entries is not None:
            result["texts"] = asked.entries
        if attacks := chosen_attacks(cfg):
            result["attacks"] = attacked_run(
                cfg, attacks, outcome.patches[0], loaded, sets, place=place, notes=notes, directory=directory
            )
        write_run(
            directory,
            result,
            outcome,
            preparation=preparation,
            loaded=loaded,
            notes=notes,
            loggers=loggers,
            afterwards=afterwards,
        )
        with afterwards.attempt("it did not reach its logger whole"):
            track_result(loggers, directory, result)
        failed = outcome.stopped_because == "nan"
    except Exception as error:
        kept.explain(error)
        raise
    finally:
        ReferenceStates.remove_files(directory / CHECKPOINTS)
        with afterwards.attempt("its logger did not end well"):
            finish_tracking(loggers, failed)
    if failed:
        raise UserError("; ".join(filter(None, [_diverged(result, directory), afterwards.missing])))
    afterwards.raise_failures(directory / RESULT)
    return RunResult(directory, result)


def _skipped(folder: Path) -> RunResult:
    print(f"skipped: this job is complete, in {folder}", flush=True)
    return _finished(folder)


def _finished(folder: Path) -> RunResult:
    result = finished_result(folder)
    assert result is not None
    if result["stopped_because"] == "nan":
        raise UserError(_diverged(result, folder))
    return RunResult(folder, result)


def _diverged(result: dict[str, Any], directory: Path) -> str:
    if result["kept_step"] is None:
        where = f"in one trial or more; their last good states were kept in {directory}"
    else:
        where = f"after step {result['steps']}; the last good state (after step {result['kept_step']}) was kept in {directory}"
    return f"the loss became NaN {where}: lower {length_of_steps(result['config']['optimizer'])} or objective.forget_weight"
