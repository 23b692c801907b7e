"""`python train.py -m hydra/sweeper=optuna`: what a search minimizes, and where its trials are kept."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hydra.utils import instantiate
from omegaconf import DictConfig

from memunlearn.commands.call import Call
from memunlearn.errors import UserError

SQLITE = "sqlite:///"


def check_search(cfg: DictConfig, call: Call) -> None:
    """Raises UserError, before any work, if this job is a trial of a search that could not be judged."""
    from memunlearn.unlearning.per_paragraph import PerParagraph  # here, since the sweeper asks this module for its storage

    searches = (call.choices or {}).get("hydra/sweeper") == "search"
    if searches and isinstance(instantiate(cfg.protocol), PerParagraph):
        raise UserError(
            "hydra/sweeper=optuna minimizes forget EM and retain_val KL of one kept state, and protocol=per_paragraph has one "
            "a trial: search with protocol=joint"
        )


def objectives(result: Mapping[str, Any]) -> tuple[float, float] | None:
    """(forget EM in tokens, retain_val KL in nats per token) of the kept state, for a sweeper; None for a per_paragraph run.

    retain_val, since the reported retain set is not for tuning. Raises UserError where a number is not finite.
    """
    check = result.get("kept_check")
    if check is None:
        return None
    values = check["forget_em"], check["retain_val_kl"]
    if any(value is None or not math.isfinite(value) for value in values):
        raise UserError(
            f"the kept state has forget EM {values[0]} and retain_val KL {values[1]}: take shorter steps, with a lower "
            "optimizer.relative_norm or, of Adam, a lower optimizer.lr"
        )
    return values


def study_storage(url: str) -> Any:
    """Optuna's storage in this database; for `sqlite:///PATH` the folder is made (Optuna comes before Hydra makes the sweep's).

    Raises UserError, without the URL (it may hold a password), if the database cannot be opened.
    """
    import optuna

    settings: dict[str, Any] = {}
    try:
        if url.startswith(SQLITE):
            Path(url.removeprefix(SQLITE)).parent.mkdir(parents=True, exist_ok=True)
            settings = {"connect_args": {"timeout": 60}}  # seconds that one process waits while another writes
        return optuna.storages.RDBStorage(url, engine_kwargs=settings)
    except Exception as error:  # SQLAlchemy's, the driver's and Optuna's own, such as for a driver that is not installed
        raise UserError(
            f"hydra.sweeper.storage.url: the database cannot be opened ({type(error).__name__}): check the URL, that the "
            "database is there and answers, and that the Python package for it is installed"
        ) from error
