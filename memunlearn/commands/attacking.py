"""evaluate.py and train.py with attacks=...: which attacks, on which models, after which rows; and what is written of them."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, get_args

from hydra.utils import instantiate
from omegaconf import DictConfig
from torch import Tensor
from transformers import PreTrainedModel

from memunlearn.attacks.material import Attack, Subject, SubjectName, Target
from memunlearn.attacks.run import Attacked, protocol_of, run_attacks
from memunlearn.attacks.summary import attack_entry, worst_numbers
from memunlearn.caching.keys import Key, digest, tensor_digest
from memunlearn.commands.attacks_folder import keep_attacked, kept_attacked, write_attacks
from memunlearn.commands.base_measurements import LIBRARIES
from memunlearn.commands.finding_key import code_digest
from memunlearn.commands.kept_config import shown
from memunlearn.models.baking import bake, plain_base
from memunlearn.models.components import eligible_weights
from memunlearn.models.fingerprints import architecture_fingerprint, fingerprint
from memunlearn.models.loading import LoadedModel
from memunlearn.models.patches import Patch, apply_patch
from memunlearn.paragraphs.paragraph_set import ParagraphSet
from memunlearn.paragraphs.splits import ParagraphSets
from memunlearn.reporting.attacks_page import write_attacks_page
from memunlearn.results.attacks.content import ATTACKS

# Text that has nothing to do with the forget rows, from sets that no loss has seen first.
OTHERS = ("retain", "retain_val", "retain_train")

# Libraries without which an attempt measures nothing.
OPTIONAL = ("bitsandbytes",)

ALONE = (
    "Only the unlearned model was attacked. Whether an attack brings the text back at all, and what it brings where nothing "
    "was learnt, the base model and an oracle show: evaluate.py patch=... attacks=..."
)

NOTHING_FORGOTTEN = "attacks=... needs rows that were to be forgotten: give the patch of a run, or paragraphs.forget=FILE"


def chosen_attacks(cfg: DictConfig) -> dict[str, Attack]:
    """By name; none by default. Raises UserError, within Hydra's, for a setting that an attack refuses."""
    return {name: instantiate(one, _convert_="all") for name, one in (cfg.get("attacks") or {}).items()}


def target_of(
    sets: Mapping[str, ParagraphSet],
    clusters: Tensor,
    *,
    base: PreTrainedModel | None,
    patch: Patch | None,
    loaded: LoadedModel,
    batch_size: int,
    seed: int,
) -> Target:
    """What the attacks are after. sets: rows by role; clusters: [N] of the forget rows; loaded: the model that was unlearned.

    Unrelated text is that of the first set of OTHERS that has rows.
    """
    forget = sets["forget"]
    others = next((sets[name] for name in OTHERS if name in sets and len(sets[name])), forget.select([]))
    return Target(
        forget=forget,
        clusters=clusters,
        others=others,
        base=base,
        patch=patch,
        weights=eligible_weights(loaded.model, loaded.patterns),
        tokenizer=loaded.tokenizer,
        batch_size=batch_size,
        seed=seed,
    )


def with_patch(model: PreTrainedModel, patch: Patch) -> tuple[PreTrainedModel, PreTrainedModel]:
    """The base model and the unlearned one, both plain copies. model: the base, with deltas or without; it stays as it is."""
    base = plain_base(model)
    patched = copy.deepcopy(base)
    apply_patch(patched, patch)
    return base.eval(), bake(patched).eval()


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
    hashes = hashes_of(subjects, target)
    keys = {
        (name, one.name): attack_key(name, one, target, config["attacks"][name], hashes) for name in attacks for one in subjects
    }

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


def attacked_run(
    cfg: DictConfig,
    attacks: Mapping[str, Attack],
    patch: Patch,
    loaded: LoadedModel,
    sets: ParagraphSets,
    *,
    place: Mapping[str, Any],
    notes: Sequence[str],
    directory: Path,
) -> dict[str, Any]:
    """What the worst attempts on the unlearned model brought; evaluate.py attacks the base model and the oracle beside it."""
    base, unlearned = with_patch(loaded.model, patch)
    target = target_of(
        sets.by_name(),
        sets.clusters["forget"],
        base=base,
        patch=patch,
        loaded=loaded,
        batch_size=2 * cfg.batch_size,
        seed=cfg.seed,
    )
    subjects = [Subject("unlearned", unlearned)]
    told = attack_models(
        attacks, subjects, target, config=shown(cfg), environment=place, notes=[*notes, ALONE], directory=directory
    )
    return worst_numbers(told["attacks"], "unlearned")


def hashes_of(subjects: Sequence[Subject], target: Target) -> dict[str, Any]:
    """What was attacked, for whoever has the files: of weights as in a patch's `base_fingerprint`."""
    return {
        **{subject.name: fingerprint(subject.model) for subject in subjects},
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


def attack_key(name: str, subject: Subject, target: Target, options: Mapping[str, Any], hashes: Mapping[str, Any]) -> Key:
    """What an attack's numbers depend on: the model that is attacked, the base model and the patch, but not which others are
    attacked beside it. Left out are the device and the batch size: they change the last digits only."""
    others = {one for one in get_args(SubjectName) if one not in ("base", subject.name)}
    return {
        "code": code_digest(),
        "libraries": {library: _version(library) for library in (*LIBRARIES, "numpy", *OPTIONAL)},
        "attack": name,
        "options": options,
        "subject": subject.name,
        "architecture": architecture_fingerprint(subject.model),
        "prefix_length": target.forget.prefix_length,
        "text_start": target.forget.text_start,
        "eligible": [weight.name for weight in target.weights],
        "seed": target.seed,
        **{name: value for name, value in hashes.items() if name not in others},
    }


def _version(library: str) -> str | None:
    try:
        return version(library)
    except PackageNotFoundError:
        return None
