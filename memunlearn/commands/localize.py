"""localize.py: analyses of a model on paragraphs, their tables, figures and one page."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning
from hydra.utils import instantiate
from lightning.pytorch.loggers import Logger, TensorBoardLogger, WandbLogger
from omegaconf import DictConfig

from memunlearn.analyses.material import Analysis, Material
from memunlearn.caching.keys import Key
from memunlearn.commands.afterwards import Afterwards
from memunlearn.commands.base_measurements import BaseMeasurements
from memunlearn.commands.call import Call
from memunlearn.commands.environment import environment
from memunlearn.commands.finding_key import common_key, finding_key, has_version
from memunlearn.commands.findings_folder import (
    PAGE,
    keep,
    localization_result,
    read_kept,
    write_findings,
)
from memunlearn.commands.inputs import choose_device, is_demo, load_inputs, move, quiet_libraries
from memunlearn.commands.kept_config import shown
from memunlearn.commands.made_rows import with_made_rows, without_suspected
from memunlearn.commands.material import check_material, describe, make_material
from memunlearn.commands.measurement_store import open_store, print_reused
from memunlearn.commands.recited_texts import with_recited_rows
from memunlearn.commands.settings import check_settings
from memunlearn.commands.sweep_folder import LOCALIZATION
from memunlearn.commands.tracking import finish_tracking, report_figures, start_tracking
from memunlearn.demo.model import WHAT_IT_IS
from memunlearn.errors import UserError
from memunlearn.files.writing import remove_leftovers
from memunlearn.reporting.terminal import print_findings
from memunlearn.results.finding_files import KeptFinding
from memunlearn.words import counted

SELF_GENERATED = (
    "The continuations appear to be the model's own output, so EM on them compares the model with itself (self-EM)."
)


@dataclass(frozen=True)
class Localization:
    """directory: where localization.json lies. result: its content."""

    directory: Path
    result: dict[str, Any]


def localize(cfg: DictConfig, directory: Path, call: Call) -> Localization:
    """Runs the configured analyses. One that cannot be done for these paragraphs does not keep the others from it.

    In a folder that holds findings already, those that were made from the same are kept and not computed again.
    Raises UserError for everything that the user can mend; where only some analyses failed, after the others are written.
    """
    for name in (LOCALIZATION, PAGE):
        (directory / name).unlink(missing_ok=True)
    remove_leftovers(directory)
    check_settings(cfg, call)
    analyses: dict[str, Analysis] = {name: instantiate(one, _convert_="all") for name, one in cfg.analysis.items()}
    quiet_libraries()
    lightning.seed_everything(cfg.seed, workers=True, verbose=False)
    device = choose_device(cfg.accelerator)
    place = environment(device) | {"command": call.line}
    check_material(cfg)
    loaded, paragraphs = load_inputs(cfg)
    move(loaded.model, device, loaded.name)
    measurements = BaseMeasurements.of(loaded.model, open_store(cfg.cache))
    asked = with_recited_rows(cfg, without_suspected(paragraphs), loaded, measurements)
    made = with_made_rows(asked.paragraphs, loaded, measurements, seed=cfg.seed, batch_size=2 * cfg.batch_size)
    paragraphs, short = made.paragraphs.without_short_prefixes()
    left_out = [] if not short else [f"{counted(short, 'row')} left out: their prefix is shorter than that of others"]
    for line in left_out:
        print(line, flush=True)
    material = make_material(cfg, loaded, measurements, paragraphs)
    print("\n".join(describe(material)), flush=True)

    config = shown(cfg)
    notes = [WHAT_IT_IS] * is_demo(cfg) + [SELF_GENERATED] * paragraphs.self_generated
    notes += [*([] if paragraphs.beginning is None else [paragraphs.beginning]), *made.said, *left_out]
    loggers = start_tracking(cfg, config, directory, call.sweep)
    succeeded, afterwards = False, Afterwards()
    try:
        common = common_key(measurements, material)
        kept, failed, broken = _run(analyses, material, config, common, directory)
        print_reused(measurements.store)
        findings = [one.finding for one in kept]
        result = localization_result(config, place, kept, failed, notes)
        if kept:
            write_findings(directory, result, findings, afterwards)
            with afterwards.attempt("it did not reach its logger whole"):
                _log(loggers, directory, result)
        succeeded = not failed and broken is None
    finally:
        with afterwards.attempt("its logger did not end well"):
            finish_tracking(loggers, failed=not succeeded)
    print_findings(findings)
    for note in notes:
        print(note)
    if kept:
        print(f"wrote {LOCALIZATION}, {PAGE}, {_count(findings)} to {directory}")
    if broken is not None:
        raise broken
    if failed:
        raise UserError("; ".join(f"{name}: {why}" for name, why in failed.items()))
    afterwards.raise_failures(directory / LOCALIZATION)
    return Localization(directory, result)


def _run(
    analyses: Mapping[str, Analysis], material: Material, config: Mapping[str, Any], common: Key, directory: Path
) -> tuple[list[KeptFinding], dict[str, str], Exception | None]:
    """The findings, in order; for each analysis that could not be done the reason; what ended the loop, if anything did."""
    kept, failed = [], {}
    for number, (name, analysis) in enumerate(analyses.items(), start=1):
        key = finding_key(common, name, analysis, config["analysis"][name])
        done = read_kept(directory, name, key) if has_version(analysis) else None
        if done is not None:
            print(f"[{number}/{len(analyses)}] {name}: kept, it is in {directory} already", flush=True)
            kept.append(done)
            continue
        print(f"[{number}/{len(analyses)}] {name}", flush=True)
        started = time.perf_counter()
        try:
            finding = analysis(material)
        except UserError as error:
            failed[name] = str(error)
            print(f"{name} was not done: {error}", flush=True)
            continue
        except Exception as error:  # a fault, or no memory: what the others have found is written before it is passed on
            failed[name] = f"{type(error).__name__}: {error}"
            return kept, failed, error
        kept.append(keep(directory, key, time.perf_counter() - started, finding))
    return kept, failed, None


def _log(loggers: Sequence[Logger], directory: Path, result: Mapping[str, Any]) -> None:
    """Every key number as `localization/<analysis>/<name>`, and the figures, for W&B and TensorBoard."""
    numbers = {
        f"localization/{name}/{key}": value
        for name, one in result["analyses"].items()
        for key, value in flat_numbers(one["numbers"]).items()
    }
    figures = report_figures(directory)
    for logger in loggers:
        logger.log_metrics(numbers, 0)
        if isinstance(logger, WandbLogger):
            logger.log_image("figures", list(figures.values()), caption=list(figures))
        elif isinstance(logger, TensorBoardLogger):
            import numpy as np

            for name, figure in figures.items():
                logger.experiment.add_image(f"localization/{name}", np.asarray(figure), 0, dataformats="HWC")
        logger.save()


def flat_numbers(numbers: Mapping[str, Any], prefix: str = "") -> dict[str, float]:
    """Nested numbers under names with slashes; what is no number is left out."""
    flat: dict[str, float] = {}
    for key, value in numbers.items():
        if isinstance(value, Mapping):
            flat |= flat_numbers(value, f"{prefix}{key}/")
        elif isinstance(value, int | float) and not isinstance(value, bool):
            flat[f"{prefix}{key}"] = float(value)
    return flat


def _count(findings: Sequence[Any]) -> str:
    tables, figures = sum(len(one.tables) for one in findings), sum(len(one.charts) for one in findings)
    return f"{tables} tables in tables/ and {figures} figures in figures/"
