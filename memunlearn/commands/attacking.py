"""evaluate.py and train.py with attacks=...: which attacks, on which models, after which rows; and what is written of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from hydra.utils import instantiate
from omegaconf import DictConfig
from torch import Tensor

from memunlearn.attacks.material import Attack, Subject, SubjectName, Target
from memunlearn.attacks.run import Attacked, protocol_of, run_attacks
from memunlearn.attacks.summary import attack_entry
from memunlearn.caching.keys import Key, digest, tensor_digest
from memunlearn.commands.attacks_folder import keep_attacked, kept_attacked, write_attacks
from memunlearn.commands.base_measurements import LIBRARIES
from memunlearn.commands.finding_key import code_digest
from memunlearn.commands.sweep_folder import ATTACKS
from memunlearn.errors import UserError
from memunlearn.models.fingerprints import architecture_fingerprint, fingerprint
from memunlearn.models.patches import Patch
from memunlearn.paragraphs.bins import is_non_memorized
from memunlearn.paragraphs.paragraph_set import ParagraphSet
from memunlearn.reporting.attacks_page import write_attacks_page

# Text that has nothing to do with the forget rows, from sets that no loss has seen first.
OTHERS = ("retain", "retain_val", "retain_train")


def chosen_attacks(cfg: DictConfig) -> dict[str, Attack]:
    """By name; none by default. Raises UserError for a setting that an attack refuses."""
    return {name: instantiate(one, _convert_="all") for name, one in (cfg.get("attacks") or {}).items()}


def target_rows(
    rows: ParagraphSet, names: Sequence[str], clusters: Tensor, em: Tensor
) -> tuple[ParagraphSet, Tensor, ParagraphSet]:
    """The forget rows, their clusters, and non-memorized rows: those of the first set of OTHERS that has any, else those of no
    role that the base model does not recite. em: [N], the base model's. Raises UserError where no row is to be forgotten."""
    forget = _members(names, "forget")
    if not forget.any():
        raise UserError("attacks=... needs rows that were to be forgotten: give the patch of a run, or paragraphs.forget=FILE")
    others = next((found for name in OTHERS if (found := _members(names, name)).any()), None)
    if others is None:
        others = _members(names, "none") & is_non_memorized(em, rows.continuation_length)
    return rows.select(forget), clusters[forget], rows.select(others)


def attack_models(
    attacks: Mapping[str, Attack],
    subjects: Sequence[Subject],
    target: Target,
    *,
    config: Mapping[str, Any],
    environment: Mapping[str, Any],
    notes: Sequence[str],
    directory: Path,
) -> dict[str, Any]:
    """Every attack on every model; `attacks.json`, `attacks.parquet` and `attacks.html`. Returns the content of the first.

    What is in the folder already and was made from the same is not done again. config: the resolved one of the command.
    notes: what a page of these numbers begins with.
    """
    hashes = _hashes(subjects, target)
    keys = {(name, one.name): _key(name, one, config, hashes) for name in attacks for one in subjects}

    def known(name: str, subject: SubjectName) -> Attacked | None:
        return kept_attacked(directory, keys[name, subject], name, subject)

    def keep(attacked: Attacked) -> None:
        keep_attacked(directory, keys[attacked.attack, attacked.subject], attacked)

    done = run_attacks(attacks, subjects, target, known=known, keep=keep)
    length = target.forget.continuation_length
    entries = {
        name: attack_entry(
            [attacked for attacked in done if attacked.attack == name],
            protocol=protocol_of(attack),
            clusters=target.clusters,
            length=length,
            seed=target.seed,
        )
        for name, attack in attacks.items()
    }
    result = {
        "schema": 1,
        "config": config,
        "environment": environment,
        "seed": target.seed,
        "subjects": [subject.name for subject in subjects],
        "hashes": hashes,
        "notes": list(notes),
        "attacks": entries,
    }
    write_attacks(directory, result, done, target.clusters)
    write_attacks_page(directory)
    for name, entry in entries.items():
        print(f"{name}: {entry['sentence']}")
    print(f"wrote {ATTACKS}, attacks.parquet and attacks.html to {directory}")
    return result


def _members(names: Sequence[str], wanted: str) -> Tensor:
    return torch.tensor([name == wanted for name in names], dtype=torch.bool)


def _hashes(subjects: Sequence[Subject], target: Target) -> dict[str, Any]:
    """What was attacked, for whoever has the files: of weights as in a patch's `base_fingerprint`."""
    return {
        "models": {subject.name: fingerprint(subject.model) for subject in subjects},
        "patch": None if target.patch is None else _patch_digest(target.patch),
        "forget": tensor_digest(target.forget.ids),
        "clusters": tensor_digest(target.clusters),
        "others": tensor_digest(target.others.ids),
    }


def _patch_digest(patch: Patch) -> str:
    return digest(
        [
            [name, tensor_digest(delta), None if (flat := patch.indices[name]) is None else tensor_digest(flat)]
            for name, delta in sorted(patch.deltas.items())
        ]
    )


def _key(name: str, subject: Subject, config: Mapping[str, Any], hashes: Mapping[str, Any]) -> Key:
    """What an attack's numbers depend on. Left out are the device and the batch size: they change the last digits only."""
    return {
        "code": code_digest(),
        "libraries": {library: version(library) for library in (*LIBRARIES, "numpy")},
        "attack": name,
        "options": config["attacks"][name],
        "subject": subject.name,
        "architecture": architecture_fingerprint(subject.model),
        "lengths": [config["paragraphs"]["prefix_length"], config["paragraphs"]["continuation_length"]],
        "seed": config["seed"],
        **hashes,
    }
