"""What attacks leave in a folder: `attacks.json`, `attacks.parquet`, and by attack and model what a later call goes on with."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from memunlearn.attacks.attempt import Attempt
from memunlearn.attacks.material import SubjectName
from memunlearn.attacks.run import Attacked
from memunlearn.attacks.summary import row_columns
from memunlearn.caching.keys import Key, digest
from memunlearn.files.reading import parse_json
from memunlearn.files.writing import write_json, write_parquet
from memunlearn.reporting.attacks_page import PAGE
from memunlearn.results.attacks.content import ATTACKS

KEPT = "attacks"
ROWS = "attacks.parquet"


def keep_attacked(directory: Path, key: Key, attacked: Attacked) -> None:
    """From here on it need not be done again in this folder."""
    content = {
        "key": digest(key),
        "seconds": attacked.seconds,
        "attempts": [_plain(attempt) for attempt in attacked.attempts],
    }
    write_json(_path(directory, attacked.attack, attacked.subject), content)


def kept_attacked(directory: Path, key: Key, attack: str, subject: SubjectName) -> Attacked | None:
    """What this attack brought on this model, if it was made from the same; else None (of a damaged file too)."""
    path = _path(directory, attack, subject)
    try:
        content = parse_json(path.read_text("utf-8"))
        if content["key"] != digest(key):
            return None
        return Attacked(attack, subject, [_attempt(one) for one in content["attempts"]], float(content["seconds"]))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        print(f"{path} cannot be read ({type(error).__name__}): {attack} is done again", flush=True)
        return None


def write_attacks(directory: Path, result: dict[str, Any], done: Sequence[Attacked], clusters: Tensor) -> None:
    """The rows, and last the numbers: where they are, everything is."""
    write_parquet(directory / ROWS, row_columns(done, clusters))
    write_json(directory / ATTACKS, result)


def remove_attacks(directory: Path) -> None:
    """Of an earlier call: it must not pass for this one's. What was done stays, for this one to go on with."""
    for name in (ATTACKS, ROWS, PAGE):
        (directory / name).unlink(missing_ok=True)


def _path(directory: Path, attack: str, subject: SubjectName) -> Path:
    return directory / KEPT / f"{attack}_{subject}.json"


def _plain(attempt: Attempt) -> dict[str, Any]:
    return {
        "settings": dict(attempt.settings),
        "rows": attempt.rows.tolist(),
        "em": attempt.em.tolist(),
        "longest_run": attempt.longest_run.tolist(),
        "nll": attempt.nll.tolist(),
        "counts": attempt.counts,
        "note": attempt.note,
        "extra": dict(attempt.extra),
        "whole": None if attempt.whole is None else attempt.whole.tolist(),
    }


def _attempt(plain: dict[str, Any]) -> Attempt:
    return Attempt(
        settings=plain["settings"],
        rows=torch.tensor(plain["rows"], dtype=torch.int64),
        em=torch.tensor(plain["em"], dtype=torch.int64),
        longest_run=torch.tensor(plain["longest_run"], dtype=torch.int64),
        nll=torch.tensor([_number(value) for value in plain["nll"]], dtype=torch.float32),
        counts=plain["counts"],
        note=plain["note"],
        extra={name: _number(value) for name, value in plain["extra"].items()},
        whole=None if plain["whole"] is None else torch.tensor(plain["whole"], dtype=torch.bool),
    )


def _number(value: float | None) -> float:
    return float("nan") if value is None else value  # JSON has no NaN
