"""Loggers beside metrics.csv, and what Weights & Biases gets at the end."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from hydra.utils import instantiate
from lightning.pytorch.loggers import Logger, WandbLogger
from omegaconf import DictConfig

from memunlearn.commands.resuming import CHECKPOINTS
from memunlearn.commands.settings import in_place_of_null
from memunlearn.commands.sweep_folder import content
from memunlearn.errors import UserError
from memunlearn.reporting.files import write_json


def start_tracking(cfg: DictConfig, config: dict[str, Any], directory: Path) -> list[Logger]:
    """The configured logger, already started, with the config logged; none for logger=csv.

    A W&B run has an id of its own, made of the sweep's folder and the config (so that a resumed run goes on in it), and is
    grouped by sweep. Raises UserError if W&B cannot be reached or no one is logged in.
    """
    if not cfg.get("logger"):
        return []
    place = in_place_of_null(cfg.logger, "save_dir", directory)
    if not cfg.logger._target_.endswith("WandbLogger"):
        logger = instantiate(cfg.logger, **place)
        logger.log_hyperparams(config)
        return [logger]
    run_id, group = _identity(config, directory, cfg.resume)
    try:
        logger = instantiate(cfg.logger, id=run_id, group=group, resume="allow", _convert_="all", **place)
        logger.experiment.config.update(config, allow_val_change=True)
    except Exception as error:  # wandb raises errors of its own for a missing login, a refused key, an unreachable server
        finish_tracking([], failed=True)
        raise UserError(
            f"Weights & Biases did not start ({error}): log in with `wandb login`, or set WANDB_MODE=offline"
        ) from error
    return [logger]


def _identity(config: dict[str, Any], directory: Path, resumed: bool) -> tuple[str, str | None]:
    """(id, group) of the W&B run; kept for resuming, where the folder may have been moved and the sweep is not known."""
    kept = directory / CHECKPOINTS / "wandb.json"
    if resumed and kept.is_file():
        known = json.loads(kept.read_text())
        return known["id"], known["group"]
    hydra_config = HydraConfig.get()
    sweep = Path(hydra_config.sweep.dir).resolve() if hydra_config.mode == RunMode.MULTIRUN else None
    identity = json.dumps([str(sweep or directory.resolve()), content(config)], sort_keys=True)
    run_id = hashlib.sha256(identity.encode()).hexdigest()[:16]
    group = None if sweep is None else "/".join(sweep.parts[-2:])
    write_json(kept, {"id": run_id, "group": group})
    return run_id, group


def track_result(loggers: Sequence[Logger], directory: Path, result: dict[str, Any]) -> None:
    """The paragraph table and the patch go to W&B, and the numbers into the run's summary."""
    import pyarrow.parquet
    import wandb

    for logger in loggers:
        if not isinstance(logger, WandbLogger):
            continue
        run = logger.experiment
        for when in ("before", "after"):
            for name, stats in result[when].items():
                run.summary.update({f"{when}/{name}/{key}": value for key, value in (stats or {}).items()})
        run.summary.update({"steps": result["steps"], "stopped_because": result["stopped_because"]})
        table = pyarrow.parquet.read_table(directory / "paragraphs.parquet").to_pylist()
        run.log({"paragraphs": wandb.Table(columns=list(table[0]), data=[list(row.values()) for row in table])})
        artifact = wandb.Artifact(f"patch-{run.id}", type="patch", metadata={"mask": result["mask"]})
        for path in sorted([*directory.glob("patch.safetensors"), *directory.glob("patches/*.safetensors")]):
            artifact.add_file(str(path), name=path.name)
        run.log_artifact(artifact)


def finish_tracking(loggers: Sequence[Logger], failed: bool) -> None:
    """Ends the W&B run, if there is one: Lightning does not, and the next job of a multirun would go on in it."""
    import sys

    for logger in loggers:
        logger.finalize("failed" if failed else "success")
    if "wandb" in sys.modules and sys.modules["wandb"].run is not None:
        sys.modules["wandb"].finish(exit_code=int(failed))
