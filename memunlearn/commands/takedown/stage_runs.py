"""Running the stages of a takedown: each as the command that it is, done once, and its memory freed before the next."""

from __future__ import annotations

import gc
import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from memunlearn.commands.attacking import chosen_attacks
from memunlearn.commands.call import Call
from memunlearn.commands.claimed import claimed
from memunlearn.commands.configs import compose
from memunlearn.commands.evaluate import evaluate
from memunlearn.commands.find import find
from memunlearn.commands.input_files import input_digests
from memunlearn.commands.inputs import check_source
from memunlearn.commands.mistakes import mistake
from memunlearn.commands.patch_settings import given_on_the_command_line, with_settings_of
from memunlearn.commands.resuming import was_interrupted
from memunlearn.commands.run_checks import check_run
from memunlearn.commands.settings import allowed_names, check_settings
from memunlearn.commands.sweep_folder import EVALUATION, RESULT, content
from memunlearn.commands.takedown.stages import Stage, Stages, written
from memunlearn.commands.train import train
from memunlearn.errors import UserError
from memunlearn.files.reading import parse_json
from memunlearn.models.patches import load_patch
from memunlearn.reporting.certificate_page import CERTIFICATE
from memunlearn.results.attacks.content import ATTACKS


def check_stages(stages: Stages, call: Call) -> None:
    """Raises UserError for what a later stage would refuse, before the first has begun."""
    for stage in stages:
        try:
            cfg = compose(stage.command, *stage.overrides)
            its_call = _call_of(stage, call)
            check_settings(cfg, its_call)
            if stage.command == "train":
                check_run(cfg, its_call)
                check_source(instantiate(cfg.paragraphs.source))
            if stage.command == "evaluate":
                chosen_attacks(cfg)
        except Exception as error:
            line = mistake(error, stage.command)
            if line is None:
                raise
            raise UserError(f"{stage.folder} ({stage.command}): {line}") from error


def run_stage(stage: Stage, directory: Path, call: Call) -> dict[str, Any]:
    """What the command says of it (the content of its result file); a stage that is complete is not done again."""
    folder = directory / stage.folder
    cfg = compose(stage.command, *stage.overrides)
    its_call = _call_of(stage, call)
    print(f"\n{stage.folder}: {stage.what}", flush=True)
    with claimed(cfg, folder, stage.command):
        if stage.command == "find":
            result = find(cfg, folder, its_call).result
        elif stage.command == "train":
            result = _train(cfg, folder, its_call)
        elif (known := _evaluated(cfg, folder, its_call)) is not None:
            print(f"{folder} is complete already", flush=True)
            result = known
        else:
            result = evaluate(cfg, folder, its_call).result
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    return result


def sha256_of(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def _plain(cfg: DictConfig) -> dict[str, Any]:
    return OmegaConf.to_container(cfg, resolve=True)  # type: ignore[return-value]


def _call_of(stage: Stage, call: Call) -> Call:
    return Call(command=stage.command, overrides=stage.overrides, folders=call.folders, program=call.program)


def _train(cfg: DictConfig, folder: Path, call: Call) -> dict[str, Any]:
    """A run that was interrupted goes on from its checkpoint, if it was one of these settings."""
    if not (folder / RESULT).is_file() and was_interrupted(cfg, folder, input_digests(_plain(cfg))):
        overrides = ("resume=true", written("allow", allowed_names(cfg)))
        again = Call(command="train", overrides=overrides, folders=call.folders, program=call.program)
        return train(compose("train", *overrides), folder, again).result
    return train(cfg, folder, call).result


def _evaluated(cfg: DictConfig, folder: Path, call: Call) -> dict[str, Any] | None:
    """The content of evaluation.json where all of this stage is there, made with these settings and of this patch."""
    try:
        result: dict[str, Any] = parse_json((folder / EVALUATION).read_text("utf-8"))
    except (OSError, ValueError):
        return None
    if not (folder / CERTIFICATE).is_file() or (cfg.attacks and not (folder / ATTACKS).is_file()):
        return None
    asked = with_settings_of(load_patch(Path(cfg.patch)), cfg, given_on_the_command_line(call), call.folders)
    same = isinstance(result, Mapping) and content(result["config"]) == content(_plain(asked))
    return result if same and result["certificate"]["hashes"]["patch"] == sha256_of(Path(cfg.patch)) else None
