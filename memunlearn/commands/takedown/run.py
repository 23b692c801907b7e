"""memunlearn takedown: find what is recited of texts, unlearn it, search and attack what came of it, and certify it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from memunlearn.commands.call import Call
from memunlearn.commands.earlier_results import is_complete
from memunlearn.commands.environment import environment
from memunlearn.commands.input_files import input_digests
from memunlearn.commands.inputs import choose_device
from memunlearn.commands.kept_config import shown
from memunlearn.commands.settings import check_settings
from memunlearn.commands.sweep_folder import TAKEDOWN
from memunlearn.commands.takedown.ending import closing_lines
from memunlearn.commands.takedown.shipped import link_checkpoint
from memunlearn.commands.takedown.stage_runs import check_stages, run_stage, sha256_of
from memunlearn.commands.takedown.stages import CHECKPOINT, Stages, stages_of
from memunlearn.errors import UserError
from memunlearn.files.reading import read_json, read_text
from memunlearn.files.writing import remove_folder, remove_leftovers, write_json, write_text
from memunlearn.paragraphs.given_files import given_files
from memunlearn.reporting.certificate_page import CERTIFICATE
from memunlearn.reporting.nothing_found_page import nothing_found_page
from memunlearn.results.found import KINDS, RECITED, of_kind

REMEDY = "remove it, and the takedown is done again"


@dataclass(frozen=True)
class Takedown:
    """directory: where everything lies. result: the content of its takedown.json."""

    directory: Path
    result: dict[str, Any]


def takedown(cfg: DictConfig, directory: Path, call: Call) -> Takedown:
    """The whole way. Stages that are complete in this folder are not done again.

    Raises UserError for everything that the user can mend, before the first stage where that can be known.
    """
    config: dict[str, Any] = OmegaConf.to_container(cfg, resolve=True)  # type: ignore[assignment]
    if not cfg.overwrite and is_complete(directory, config):
        print(f"{directory} is complete already, with the same settings: overwrite=true would do it again")
        return _told(directory, read_json(directory / TAKEDOWN, REMEDY))
    check_settings(cfg, call)
    _check_texts(cfg)
    stages = stages_of(cfg, call, directory)
    check_stages(stages, call)
    remove_leftovers(directory)
    for stale in (TAKEDOWN, CERTIFICATE):
        (directory / stale).unlink(missing_ok=True)
    remove_folder(directory / CHECKPOINT)
    if cfg.overwrite:
        for stage in stages:
            remove_folder(directory / stage.folder)
    result = {
        "schema": 1,
        "config": shown(cfg),
        "environment": environment(choose_device(cfg.accelerator)) | {"command": call.line},
        "inputs": input_digests(config),
        **_stages_run(stages, directory, call),
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
    }
    write_json(directory / TAKEDOWN, result)
    return _told(directory, result)


def _stages_run(stages: Stages, directory: Path, call: Call) -> dict[str, Any]:
    """Runs them, and writes certificate and checkpoint. Returns what takedown.json says of it."""
    found = run_stage(stages.find, directory, call)
    hashes = {"base": found["model"]["fingerprint"]}
    if not _recited(found):
        write_text(directory / CERTIFICATE, nothing_found_page(found))
        not_run = {stage.folder: "not run: nothing was to be removed" for stage in stages if stage is not stages.find}
        return {"stages": {stages.find.folder: "complete"} | not_run, "hashes": hashes} | _texts(found, None)
    run_stage(stages.unlearn, directory, call)
    after = run_stage(stages.search, directory, call)
    judged = run_stage(stages.attack, directory, call)
    trained = directory / stages.unlearn.folder
    page = read_text(directory / stages.attack.folder / CERTIFICATE, "remove 4-attacks, and run the same command again")
    link_checkpoint(trained / CHECKPOINT, directory / CHECKPOINT)
    write_text(directory / CERTIFICATE, page)
    hashes |= {name: judged["certificate"]["hashes"][name] for name in ("patch", "unlearned")}
    hashes["checkpoint"] = {file.name: sha256_of(file) for file in sorted((directory / CHECKPOINT).iterdir())}
    return {"stages": {stage.folder: "complete" for stage in stages}, "hashes": hashes} | _texts(found, after)


def _texts(found: Mapping[str, Any], after: Mapping[str, Any] | None) -> dict[str, Any]:
    """Names of the texts by what was found of them; `left`: those that the changed model recites (None: there is none)."""
    by_kind = {kind: [text["name"] for text in of_kind(found["texts"], kind)] for kind in KINDS}
    left = None if after is None else _recited(after)
    return {"texts": {kind.replace(" ", "_"): names for kind, names in by_kind.items()} | {"left": left}}


def _recited(found: Mapping[str, Any]) -> list[str]:
    return [text["name"] for text in of_kind(found["texts"], RECITED)]


def _check_texts(cfg: DictConfig) -> None:
    if cfg.texts is None:
        raise UserError("texts is not set: add texts=FOLDER, the file or folder with the texts that are to be removed")
    given_files(OmegaConf.to_object(cfg.texts) if OmegaConf.is_config(cfg.texts) else str(cfg.texts))  # type: ignore[arg-type]
    if cfg.model.get("name_or_path", "") is None:
        raise UserError("model.name_or_path is not set: add model.name_or_path=DIR, the folder of a checkpoint")


def _told(directory: Path, result: dict[str, Any]) -> Takedown:
    print("\n".join(closing_lines(directory, result)), flush=True)
    return Takedown(directory, result)
