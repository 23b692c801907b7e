"""Loggers beside metrics.csv, and what Weights & Biases and TensorBoard get at the end."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from hydra.utils import get_class, instantiate
from lightning.pytorch.loggers import Logger, TensorBoardLogger, WandbLogger
from omegaconf import DictConfig
from PIL import Image

from memunlearn.commands.resuming import CHECKPOINTS
from memunlearn.commands.settings import in_place_of_null
from memunlearn.commands.sweep_folder import content
from memunlearn.errors import UserError
from memunlearn.files.reading import read_json
from memunlearn.files.writing import write_json
from memunlearn.passwords import without_passwords
from memunlearn.results.sentence import result_sentence

NAMES = ("name", "project", "entity", "group", "job_type", "notes", "version", "id")


def start_tracking(cfg: DictConfig, config: dict[str, Any], directory: Path, sweep: Path | None) -> list[Logger]:
    """The configured logger, already started, with the config logged; none for logger=csv. sweep: its folder, of a job of one.

    A W&B run has an id of its own, made of the sweep's folder and the config (so that a resumed run goes on in it), and is
    grouped by sweep. Raises UserError if W&B cannot be reached or no one is logged in.
    """
    if not cfg.get("logger"):
        return []
    place = in_place_of_null(cfg.logger, "save_dir", directory)
    if not is_wandb(cfg.logger):
        logger = instantiate(cfg.logger, **place)
        logger.log_hyperparams(config)
        return [logger]
    run_id, group = _identity(config, directory, cfg.get("resume", False), sweep)
    sys.argv = [without_passwords(argument) for argument in sys.argv]  # W&B keeps the command line
    try:
        given = {"id": run_id, "group": group, "resume": "allow", **place, **names_as_text(cfg.logger)}
        logger = instantiate(cfg.logger, _convert_="all", **given)
        logger.experiment.config.update(config, allow_val_change=True)
    except BaseException as error:
        finish_tracking([], failed=True)
        if not isinstance(error, Exception):  # told to end while it starts
            raise
        raise not_started(error) from error
    return [logger]


def is_wandb(logger: DictConfig) -> bool:
    """Whether the config group `logger` makes a logger of Weights & Biases."""
    return issubclass(get_class(logger._target_), WandbLogger)


def names_as_text(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Those names among the settings of W&B that Hydra has read as numbers, as text: `logger.name=7`, `logger.tags=[125]`."""
    names = {key: settings[key] for key in NAMES if _is_number(settings.get(key))}
    texts: dict[str, Any] = {key: str(value) for key, value in names.items()}
    tags = settings.get("tags") or []
    if not isinstance(tags, str) and any(_is_number(tag) for tag in tags):
        texts["tags"] = [str(tag) for tag in tags]
    return texts


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _identity(config: dict[str, Any], directory: Path, resumed: bool, sweep: Path | None) -> tuple[str, str | None]:
    """(id, group) of the W&B run; kept for resuming, where the folder may have been moved and the sweep is not known."""
    kept = directory / CHECKPOINTS / "wandb.json"
    if resumed and kept.is_file():
        remedy = "remove it, and the run is resumed as another W&B run"
        known = read_json(kept, remedy)
        run_id, group = known.get("id"), known.get("group")
        if not isinstance(run_id, str) or not run_id.isalnum() or not isinstance(group, str | None):
            raise UserError(f"{kept} holds no id and group of a W&B run: {remedy}")
        return run_id, group
    identity = json.dumps([str((sweep or directory).resolve()), content(config)], sort_keys=True)
    run_id = hashlib.sha256(identity.encode()).hexdigest()[:16]
    group = None if sweep is None else group_of(sweep)
    write_json(kept, {"id": run_id, "group": group})
    return run_id, group


def group_of(sweep: Path) -> str:
    """The W&B group of a sweep's runs: the last two parts of its folder's path."""
    return "/".join(sweep.resolve().parts[-2:])


def track_result(loggers: Sequence[Logger], directory: Path, result: dict[str, Any]) -> None:
    """W&B gets the paragraph table, the report's figures, the patch, and the numbers in the run's summary; TensorBoard the
    figures and the result in a sentence."""
    import pyarrow.parquet

    if not any(isinstance(logger, WandbLogger | TensorBoardLogger) for logger in loggers):
        return
    with open(directory / "paragraphs.parquet", "rb") as file:  # of a path pyarrow wants UTF-8
        rows = pyarrow.parquet.read_table(file).to_pylist()
    figures = report_figures(directory)
    for logger in loggers:
        if isinstance(logger, WandbLogger):
            _result_to_wandb(logger.experiment, directory, result, rows, figures)
        elif isinstance(logger, TensorBoardLogger):
            for name, figure in figures.items():
                logger.experiment.add_image(f"report/{name}", np.asarray(figure), result["steps"], dataformats="HWC")
            logger.experiment.add_text("report/sentence", result_sentence(result), result["steps"])
            logger.save()


def report_figures(directory: Path) -> dict[str, Image.Image]:
    """The run's figures by name, from its folder `figures/`."""
    files = sorted((directory / "figures").glob("*.png"))
    return {path.stem: Image.open(path).convert("RGB") for path in files if path.stat().st_size}


def _result_to_wandb(
    run: Any, directory: Path, result: Mapping[str, Any], rows: Sequence[dict[str, Any]], figures: Mapping[str, Image.Image]
) -> None:
    import wandb

    for when in ("before", "after"):
        for name, stats in result[when].items():
            run.summary.update({f"{when}/{name}/{key}": value for key, value in (stats or {}).items()})
    run.summary.update({"steps": result["steps"], "stopped_because": result["stopped_because"]})
    table = wandb.Table(columns=list(rows[0]), data=[list(row.values()) for row in rows])
    run.log({"paragraphs": table, **{f"report/{name}": wandb.Image(figure) for name, figure in figures.items()}})
    artifact = wandb.Artifact(f"patch-{run.id}", type="patch", metadata={"mask": result["mask"]})
    for path in sorted([*directory.glob("patch.safetensors"), *directory.glob("patches/*.safetensors")]):
        artifact.add_file(str(path), name=path.name)
    run.log_artifact(artifact)


def track_summary(sweep: Path, files: Sequence[Path], project: str, entity: str | None = None) -> None:
    """A sweep's summary as a W&B run of its own, in the group of the sweep's runs, with an id made of the sweep's folder.

    files: what `write_summary` wrote: .parquet becomes a table, .html a page, and all of them an artifact. Called again for the
    same sweep it goes on in the same run, where the last of everything is shown. Raises UserError if W&B does not start.
    """
    import pyarrow.parquet
    import wandb

    run_id = hashlib.sha256(f"summary of {sweep.resolve()}".encode()).hexdigest()[:16]
    place: dict[str, Any] = {"project": project, "entity": entity, "group": group_of(sweep), "dir": str(sweep)}
    try:
        run = wandb.init(id=run_id, name="summary", job_type="summary", resume="allow", reinit="finish_previous", **place)
    except Exception as error:
        raise not_started(error) from error
    failed = True
    try:
        logged: dict[str, Any] = {}
        artifact = wandb.Artifact(f"summary-{run_id}", type="summary")
        for path in files:
            artifact.add_file(str(path), name=path.name)
            if path.suffix == ".parquet":
                with open(path, "rb") as file:
                    table = pyarrow.parquet.read_table(file)
                data = [[_cell(value) for value in row.values()] for row in table.to_pylist()]
                logged[path.stem] = wandb.Table(columns=table.column_names, data=data, allow_mixed_types=True)
            elif path.suffix == ".html":
                logged[f"{path.stem}_page"] = wandb.Html(path.read_text("utf-8"), inject=False)
        run.log(logged)
        run.log_artifact(artifact)
        failed = False
    finally:
        run.finish(exit_code=int(failed))


def _cell(value: Any) -> Any:
    """What a W&B table can show: nested values as JSON."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    return json.dumps(value, default=str)


def not_started(error: Exception) -> UserError:
    """What to do depends on what went wrong: no login, no network, or a setting that W&B does not take."""
    from wandb.errors import AuthenticationError, CommError

    if isinstance(error, AuthenticationError) or "wandb login" in str(error):
        remedy = "log in with `wandb login`, or set WANDB_MODE=offline"
    elif isinstance(error, CommError | OSError | TimeoutError):
        remedy = "check that its server can be reached from here, or set WANDB_MODE=offline and send it later with `wandb sync`"
    else:
        remedy = "mend the setting that it names (logger.*, or WANDB_* in the environment), or leave out logger=wandb"
    return UserError(f"Weights & Biases did not start ({error}): {remedy}")


def finish_tracking(loggers: Sequence[Logger], failed: bool) -> None:
    """Ends the W&B run, if there is one: Lightning does not, and the next job of a multirun would go on in it."""
    for logger in loggers:
        logger.finalize("failed" if failed else "success")
    if "wandb" in sys.modules and sys.modules["wandb"].run is not None:
        sys.modules["wandb"].finish(exit_code=int(failed))
