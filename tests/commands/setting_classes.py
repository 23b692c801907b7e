"""What each setting does to the keys by which results are told to be still right: `test_every_setting.py` holds them to it.

A new setting needs an entry for each command that has it. `Keyed(value)`: with this value instead of the default a key differs.
`Unkeyed(value, why)`: no key differs, and why the numbers do not either. `ByContent(why)`: it decides what is read, and that is
keyed, but it takes a network or another source to show. `base`: what else is set, before and after.
"""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Keyed:
    value: Any
    base: tuple[str, ...] = ()


@dataclass(frozen=True)
class Unkeyed:
    value: Any
    why: str
    base: tuple[str, ...] = ()


@dataclass(frozen=True)
class ByContent:
    why: str


# Files that the tests make; `{...}` in a value stands for their folder.
NAMED = ("paragraphs.path=null", "paragraphs.forget={}/forget.pt", "paragraphs.retain={}/retain.pt")
NAMED_ALL = (*NAMED, "paragraphs.bystander={}/bystander.pt")
OWN_TEXT = ("paragraphs.path=null", "paragraphs.forget={}/forget.pt", "paragraphs.retain=model")
PROTECTED = (*NAMED, "paragraphs.protected={}/bystander.pt")
EDIT, FISHER, KFAC = ("objective=edit",), ("attribution=fisher",), ("optimizer=kfac",)
# What a run attributes, and what it does about bystanders, with settings that the default has no use for.
GRADIENT, UNLEARN = ("mask=gradient",), ("objective=unlearn",)

PLACE = "where it is computed: the last digits only"
READ_AS = "decides what is read of a data set: rows are keyed by their ids, wherever they are from"
HUB = "a name on the Hub, of which weights and tokenizer are keyed by what they are"
TOLD = "where results are told, not what they are"
KEPT = "where downloads are kept, not what they are"
CALLED = "whether an earlier result stays, not what it is"
NOT_SPLIT = "localize.py reads all rows and makes no sets of them"
NOT_LOOKED_FOR = "localize.py has no use for rows that nobody knows to be memorized"
TRAINING = "of training: it is not asked for before the base model is measured"
CURVATURE = "of the curvature, measured after that, with a key of its own (test_measurement_keys.py)"
CHANGE = "of how weights are changed, after the base model was measured"
CHOICE = "of the choice of weights: made from the attribution of all eligible ones, which is keyed"

INPUTS = {
    "model.name_or_path": Keyed("{}/other_model"),
    "model.revision": Unkeyed("main", HUB),
    "model.attn_implementation": Unkeyed("eager", PLACE),
    "paragraphs.path": Keyed("{}/other_rows.jsonl"),
    "paragraphs.column": Keyed("others"),
    "paragraphs.bos": Unkeyed(True, "of text: here are ids, and the ids that text gives are keyed"),
    "paragraphs.stride": Unkeyed(7, "of text, as bos"),
    "paragraphs.min_prefix": Unkeyed(3, "of text, as bos"),
    "paragraphs.max_windows": Unkeyed(7, "of text, as bos"),
    "paragraphs.prefix_length": Keyed(9),
    "paragraphs.continuation_length": Keyed(9),
    "paragraphs.forget": Keyed("{}/other_forget.pt", NAMED),
    "paragraphs.bystander": Keyed("{}/other_bystander.pt", NAMED_ALL),
    "paragraphs.retain": Keyed("{}/other_retain.pt", NAMED),
    "paragraphs.retain_rows": Keyed(150, OWN_TEXT),
    "paragraphs.suspected": Keyed(True, NAMED),
    "paragraphs.suspected_samples": Keyed(150, (*NAMED, "paragraphs.suspected=true")),
    "paragraphs.protected": Keyed("{}/bystander.pt", NAMED),
    "paragraphs.protected_share": Unkeyed(
        0.25, "of training: it is not asked for before the base model is measured", PROTECTED
    ),
    "paragraphs.unseen": ByContent("with patch= only: its rows are keyed by their ids"),
    "paragraphs.cache_dir": ByContent(KEPT),
    "paragraphs.base_url": ByContent(
        "where files are fetched from: their checksums are fixed, and rows are keyed by their ids"
    ),
    **{
        f"paragraphs.{name}": ByContent(READ_AS)
        for name in (
            *("name", "subset", "split", "revision", "data_files", "streaming", "max_rows", "max_windows"),
            *("base", "data", "duplicates", "corpus", "percent", "template", "files", "other"),
        )
    },
    "cache": ByContent("whether what was computed is kept, not what it is"),
    "overwrite": Unkeyed(True, CALLED),
    "allow": ByContent("which classes a stranger's file may name, not what they do"),
}
LOGGERS = {
    f"logger.{name}": Unkeyed(value, TOLD)
    for name, value in (("project", "p"), ("save_dir", "{}/told"), ("name", "n"), ("tags", ["t"]), ("version", "v"))
}

LOCALIZE = {
    **INPUTS,
    **LOGGERS,
    "seed": Keyed(1),
    "max_per_bin": Keyed(5),
    "frequency": Keyed("{}/counts.npy"),
    "model.tokenizer": Keyed("{}/other_tokenizer"),
    "model.patterns": Keyed({"transformer.h.{layer}.attn.attention.q_proj.weight": "q"}),
    "batch_size": Unkeyed(5, PLACE),
    "accelerator": Unkeyed("auto", PLACE),
    "paragraphs.max_forget": Unkeyed(2, NOT_SPLIT),
    "paragraphs.max_bystander": Unkeyed(2, NOT_SPLIT),
    "paragraphs.max_retain": Unkeyed(5, NOT_SPLIT),
    "paragraphs.protect": Unkeyed(0.5, NOT_SPLIT),
    "paragraphs.forget_text": Unkeyed("own", NOT_SPLIT),
    "paragraphs.suspected": Unkeyed(True, NOT_LOOKED_FOR, NAMED),
    "paragraphs.suspected_samples": Unkeyed(150, NOT_LOOKED_FOR, NAMED),
}

EVALUATE = {
    **INPUTS,
    "model.tokenizer": Unkeyed("{}/other_tokenizer", "of text: here are ids, and the ids that text gives are keyed"),
    "model.patterns": Unkeyed({"transformer.h.{layer}.attn.attention.q_proj.weight": "q"}, "scoring changes no weight"),
    "seed": Unkeyed(1, "decides which set a row is shown in: all rows are scored, whatever their set"),
    "p_z.top_k": Keyed(7),
    "p_z.temperature": Keyed(0.5),
    "patch": ByContent("kept are the base model's numbers only: those of a patch are computed every time"),
    "reference.base": Keyed("{}/other_model"),
    "reference.oracle": ByContent("the oracle's own numbers are keyed by its weights; the base model's are what they are"),
    "reference.second_oracle": ByContent("likewise"),
    "batch_size": Unkeyed(5, PLACE),
    "accelerator": Unkeyed("auto", PLACE),
    "paragraphs.max_forget": Unkeyed(2, "decides which set a row is shown in: all rows are scored, whatever their set"),
    "paragraphs.max_bystander": Unkeyed(2, "likewise"),
    "paragraphs.max_retain": Unkeyed(5, "likewise"),
    "paragraphs.protect": Unkeyed(0.5, "likewise"),
    "paragraphs.forget_text": ByContent("refused by evaluate.py"),
    **{
        f"lm_eval{name}": ByContent("which tasks the harness runs, anew every time: they are none of the kept numbers")
        for name in ("", "_limit", "_include")
    },
    "certificate.write": ByContent("a page of what was measured, from what is said anew by the patched model every time"),
    "certificate.search": ByContent("a search that the page tells of, read anew every time"),
    "certificate.show_texts": ByContent("whether texts are on that page"),
}

TRAIN = {
    **INPUTS,
    **LOGGERS,
    "model.tokenizer": Unkeyed("{}/other_tokenizer", "of text: here are ids, and the ids that text gives are keyed"),
    "model.patterns": Keyed({"transformer.h.{layer}.attn.attention.q_proj.weight": "q"}, GRADIENT),
    "seed": Keyed(1),
    "p_z.top_k": Keyed(7),
    "p_z.temperature": Keyed(0.5, ("p_z.top_k=7",)),
    "seeds.split": Keyed(1),
    "seeds.mask": Keyed(1, (*FISHER, *GRADIENT)),
    "seeds.training": Unkeyed(1, TRAINING),
    "paragraphs.max_forget": Keyed(2),
    "paragraphs.max_bystander": Keyed(2),
    "paragraphs.max_retain": Keyed(5),
    "paragraphs.protect": Keyed(1.0),
    "paragraphs.forget_text": Keyed("own"),
    "objective.forget_weight": Unkeyed(0.7, TRAINING),
    "objective.retain_weight": Unkeyed(0.7, TRAINING),
    "objective.max_token_nll": Unkeyed(7.0, TRAINING, UNLEARN),
    "objective.replacements": Keyed(2, EDIT),
    "objective.beta": Unkeyed(0.3, TRAINING, ("objective=npo",)),
    "objective.strength": Unkeyed(3.0, TRAINING, ("objective=undial",)),
    "objective.margin": Unkeyed(0.5, TRAINING, ("objective=demote",)),
    "objective.beta1": Unkeyed(3.0, TRAINING, ("objective=satimp",)),
    "objective.beta2": Unkeyed(0.5, TRAINING, ("objective=satimp",)),
    "objective.tolerance": Unkeyed(0.1, TRAINING, ("objective=pdu",)),
    "objective.dual_step": Unkeyed(0.1, TRAINING, ("objective=pdu",)),
    "objective.original_weight": Unkeyed(0.5, TRAINING, ("objective=edit_distilled",)),
    "objective.steering": Unkeyed(3.0, TRAINING, ("objective=rmu",)),
    "objective.seed": Unkeyed(1, TRAINING, ("objective=rmu",)),
    "objective.layer": Keyed(0, ("objective=rmu",)),
    "attribution.quantile": Keyed(0.25, (*FISHER, *GRADIENT)),
    "attribution.damping": Keyed(0.25, ("attribution=kfac", *GRADIENT)),
    "mask.fraction": Unkeyed(0.2, CHOICE, GRADIENT),
    "mask.selection": Unkeyed("per_tensor", CHOICE, GRADIENT),
    "mask.layers": Unkeyed([1], CHOICE, GRADIENT),
    "mask.components": Unkeyed(["q"], CHOICE, GRADIENT),
    "mask.heads": Unkeyed([1], CHOICE, GRADIENT),
    "mask.match": Unkeyed(True, CHOICE, ("mask=random_matched",)),
    **{
        f"rehearsal.{name}": Unkeyed(value, TRAINING, ("rehearsal=relearning", "objective=unlearn"))
        for name, value in (("steps", 2), ("lr", 1e-3), ("weight", 0.5))
    },
    "stop.every": Unkeyed(7, TRAINING),
    "stop.forget_em": Unkeyed(1.0, TRAINING),
    "stop.longest_run": Unkeyed(4.0, TRAINING),
    "stop.max_kl": Unkeyed(1.0, TRAINING),
    "stop.min_bystander_em": Unkeyed(1.0, TRAINING),
    "stop.max_steps": Unkeyed(7, TRAINING),
    "optimizer.lr": Unkeyed(0.5, TRAINING, ("optimizer=adam",)),
    "optimizer.eps": Unkeyed(1e-3, TRAINING, ("optimizer=adam",)),
    "optimizer.weight_decay": Unkeyed(0.5, TRAINING, ("optimizer=adamw",)),
    "optimizer.momentum": Unkeyed(0.5, TRAINING, ("optimizer=sgd",)),
    "optimizer.relative_norm": Unkeyed(0.1, TRAINING, (*KFAC, "optimizer.relative_norm=0.2")),
    "optimizer.forget_inputs": Unkeyed(1.0, TRAINING, KFAC),
    **{
        f"optimizer.{name}": Unkeyed(value, CURVATURE, (*KFAC, "optimizer.forget_inputs=0"))
        for name, value in (("eigenvalues", "corrected"), ("positions", "continuation"), ("rows", 3))
    },
    **{
        f"optimizer.{name}": Unkeyed(value, TRAINING, KFAC)
        for name, value in (
            ("max_kl", 1e-4),
            ("probe_rows", 3),
            ("damping", 0.1),
            ("sparse", "project"),
            ("iterations", 7),
            ("device", "cpu"),
        )
    },
    "optimizer.dtype": Unkeyed("bfloat16", TRAINING, (*KFAC, "optimizer.damping=0.1")),
    "trainer.accelerator": Unkeyed("auto", PLACE),
    "trainer.devices": Unkeyed("1", PLACE),
    "trainer.strategy": Unkeyed("single_device", PLACE),
    "trainer.precision": Unkeyed("bf16-mixed", "of training: what is kept of the base model is measured in fp32"),
    "trainer.max_steps": Unkeyed(7, TRAINING),
    "trainer.accumulate_grad_batches": Unkeyed(2, TRAINING),
    "trainer.gradient_clip_val": Unkeyed(1.0, TRAINING),
    "trainer.log_every_n_steps": Unkeyed(2, TOLD),
    "trainer.enable_model_summary": Unkeyed(True, TOLD),
    "trainer.deterministic": Unkeyed(True, PLACE),
    "callbacks.checkpoint.dirpath": Unkeyed("{}/told", TOLD),
    "callbacks.checkpoint.filename": Unkeyed("other", TOLD),
    "callbacks.checkpoint.every_n_train_steps": Unkeyed(7, TOLD),
    "callbacks.checkpoint.enable_version_counter": Unkeyed(True, TOLD),
    "protocol.trials": Unkeyed(2, TRAINING, ("protocol=per_paragraph",)),
    "protocol.steps": Unkeyed(2, TRAINING, ("protocol=per_paragraph",)),
    "protocol.mask_scope": Unkeyed("set", CHOICE, ("protocol=per_paragraph",)),
    "protocol.retain_batch": Unkeyed(2, TRAINING, ("protocol=per_paragraph",)),
    "protocol.scale": Unkeyed(0.5, CHANGE, ("protocol=zeroing",)),
    "protocol.share": Unkeyed(0.01, CHANGE, ("protocol=balanced_subnet",)),
    "protocol.epochs": Unkeyed(2, CHANGE, ("protocol=balanced_subnet",)),
    "protocol.lr": Unkeyed(0.5, CHANGE, ("protocol=balanced_subnet",)),
    "protocol.momentum": Unkeyed(0.5, CHANGE, ("protocol=balanced_subnet",)),
    "protocol.weight_decay": Unkeyed(0.5, CHANGE, ("protocol=balanced_subnet",)),
    "protocol.clean_weight": Unkeyed(0.9, CHANGE, ("protocol=balanced_subnet",)),
    "protocol.mass": Unkeyed(0.9, CHANGE, ("protocol=kfac_edit",)),
    "protocol.eigenvalues": Unkeyed("corrected", CURVATURE, ("protocol=kfac_edit",)),
    "protocol.positions": Unkeyed("continuation", CURVATURE, ("protocol=kfac_edit",)),
    "protocol.rank": Unkeyed(1, TRAINING, ("protocol=lora",)),
    "protocol.alpha": Unkeyed(3.0, TRAINING, ("protocol=lora",)),
    "batch_size": Unkeyed(5, PLACE),
    "accumulate": Unkeyed(2, TRAINING),
    "gradient_checkpointing": Unkeyed(True, TRAINING),
    "compile": Unkeyed(True, TRAINING),
    "save_model": Unkeyed(True, TOLD),
    "dtype": Unkeyed("bfloat16", TOLD, ("save_model=true",)),
    "resume": ByContent("goes on with the config that the run began with"),
}

TABLE = ("texts={}/table.csv", "column=letter")
OF_TEXTS = {
    "texts": Keyed("{}/other_letter.txt"),
    "column": Keyed("answer", TABLE),
    "bos": Keyed(True),
    "prefix_length": Keyed(9),
    "continuation_length": Keyed(9),
    "stride": Keyed(3),
    "min_prefix": Keyed(3),
    "model.name_or_path": Keyed("{}/other_model"),
}

FIND = {
    **OF_TEXTS,
    "least": Keyed(7),
    "p_z.top_k": Keyed(7),
    "p_z.temperature": Keyed(0.5),
    "windows": ByContent("which windows are scored besides is keyed: of another search's folder"),
    "patch": ByContent("a model with a patch is searched every time"),
    "show_texts": Unkeyed(False, "of the page"),
    "seed": Unkeyed(1, "nothing is drawn: p_z is what is expected of samples"),
    "batch_size": Unkeyed(5, PLACE),
    **{name: INPUTS[name] for name in ("cache", "overwrite", "allow", "model.revision", "model.attn_implementation")},
    "accelerator": Unkeyed("auto", PLACE),
    "model.tokenizer": Unkeyed("{}/other_tokenizer", "the ids that text gives are keyed"),
    "model.patterns": EVALUATE["model.patterns"],
}

# Keyed: handed on to a stage.
TAKEDOWN = {
    **OF_TEXTS,
    "retain": Keyed("demo"),
    "bystander": Keyed("{}/other_letter.txt"),
    "protected": Keyed("{}/other_letter.txt"),
    "unlearn": Keyed(["stop.max_steps=7"]),
    "evaluate": Keyed(["reference.oracle=DIR"]),
    "certificate.show_texts": Keyed(True),
    "dtype": Keyed("bfloat16"),
    "seed": Keyed(1),
    "batch_size": Keyed(5),
    "cache": Keyed(False),
    "overwrite": Unkeyed(True, "of the whole takedown's folder, not of a stage"),
    "accelerator": Keyed("gpu"),
    "model.revision": Keyed("main"),
    "model.attn_implementation": Keyed("eager"),
    "model.tokenizer": Keyed("{}/other_tokenizer"),
    "model.patterns": Keyed({"a.weight": "q"}),
    "attacks": Keyed(["positions"]),
}

CLASSES = {"localize": LOCALIZE, "evaluate": EVALUATE, "train": TRAIN, "find": FIND, "takedown": TAKEDOWN}

# Not part of what a job of a sweep is known by.
NOT_OF_A_JOB = {
    "resume": "how a run is called",
    "overwrite": CALLED,
    "allow": "which classes a stranger's file may name, not what they do",
    "cache": "whether what was computed is kept, not what it is",
    "paragraphs.cache_dir": KEPT,
}
