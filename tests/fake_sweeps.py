"""Sweeps as plain files: run folders with results, paragraphs, checks and trajectories drawn from a seed."""

from __future__ import annotations

import csv
import json
import random
from pathlib import Path
from typing import Any

from memunlearn.files.writing import write_parquet

C = 20
FORGET, BYSTANDER, RETAIN = 12, 12, 10
ROWS_A_CLUSTER = 2  # of the forget set
MASKS = {
    "all": {"_target_": "memunlearn.masks.AllWeights", "fraction": None, "lr": 4e-4},
    "gradient": {"_target_": "memunlearn.masks.TopAttribution", "fraction": 0.05, "selection": "global", "lr": 2e-3},
    "random": {
        "_target_": "memunlearn.masks.RandomWeights",
        "fraction": 0.05,
        "match": False,
        "selection": "global",
        "lr": 2e-3,
    },
    "matched": {
        "_target_": "memunlearn.masks.RandomWeights",
        "fraction": 0.05,
        "match": True,
        "selection": "global",
        "lr": 2e-3,
    },
}
NOTE = "The demo is a test of the software & no evidence about <larger> models."


def config(objective="unlearn", mask="gradient", seed=0, forget_text="memorized", **more) -> dict[str, Any]:
    return {
        "model": {"_target_": "memunlearn.demo.model.DemoModelSource"},
        "paragraphs": {"continuation_length": C, "forget_text": forget_text},
        "objective": {"_target_": f"memunlearn.objectives.contrastive.{objective.capitalize()}"}
        | ({"replacements": 1} if objective == "edit" else {}),
        "attribution": {"_target_": "memunlearn.localization.weight_attribution.Gradient"},
        "mask": MASKS[mask],
        "optimizer": {"_target_": "torch.optim.Adam", "lr": MASKS[mask]["lr"]},
        "protocol": {"_target_": "memunlearn.unlearning.joint.Joint"},
        "logger": {},
        "seed": seed,
        "seeds": {"split": seed, "mask": seed, "training": seed},
        **more,
    }


def write_run(folder: Path, made: dict[str, Any], speed=1.0, harm=1.0, trajectory=True, trials=False, steps=None) -> None:
    """A finished run. speed: how fast forget EM falls; harm: how fast KL rises and bystander EM falls."""
    draw = random.Random(json.dumps([made["seed"], made["objective"], made["mask"], made["paragraphs"]], sort_keys=True))
    speed, harm = speed * draw.uniform(0.8, 1.2), harm * draw.uniform(0.8, 1.2)
    every, last = 2, steps or draw.choice((10, 12, 14))
    checks = [0, 1, *range(every, last + 1, every)]
    slow = {i: draw.uniform(0.7, 1.3) for i in range(FORGET)}
    rows = {
        step: [
            *(("forget", i, i // ROWS_A_CLUSTER, _whole(C - speed * slow[i] * 2 * step), None) for i in range(FORGET)),
            *(("bystander_val", i, 50 + i, _whole(C - harm * (0.5 + i % 3) * 0.3 * step), None) for i in range(4)),
            *(("retain_val", i, 70 + i, 0, harm * 0.01 * step * (1 + 0.1 * i)) for i in range(6)),
        ]
        for step in checks
    }
    paragraphs = [
        _paragraph(
            "forget", i, i // ROWS_A_CLUSTER, C, _whole(C - speed * slow[i] * 2 * last), 0.5, made, i if trials else None
        )
        for i in range(FORGET)
    ]
    for trial in range(FORGET) if trials else [None]:
        for name, count, first, em in (("bystander", BYSTANDER, 100, C), ("retain", RETAIN, 200, 1)):
            for i in range(count):
                after = max(0, em - int(harm * draw.uniform(0, 6)))
                paragraphs.append(_paragraph(name, i, first + i, em, after, harm * draw.uniform(0.05, 0.2), made, trial))
    result = {
        "schema": 1,
        "config": made,
        "seed": made["seed"],
        "steps": last,
        "kept_step": None if trials else last,
        "stopped_because": "max_steps",
        "mask": {"k": 1000 if "All" in made["mask"]["_target_"] else 50, "eligible": 1000},
        "before": {name: _stats(paragraphs, name, "before") for name in ("forget", "bystander", "near", "retain")},
        "after": {name: _stats(paragraphs, name, "after") for name in ("forget", "bystander", "near", "retain")},
        "seconds": {"protocol": 1.5},
        "notes": [NOTE],
    }
    folder.mkdir(parents=True)
    (folder / "result.json").write_text(json.dumps(result))
    (folder / "report.html").write_text("<p>report</p>")
    write_parquet(folder / "paragraphs.parquet", {key: [row[key] for row in paragraphs] for key in paragraphs[0]})
    if not trials:
        _write_curve(folder / "metrics.csv", rows)
    if trajectory and not trials:
        flat = [(step, *row) for step in checks for row in rows[step]]
        columns = dict(zip(("step", "set", "index", "cluster", "em", "kl"), map(list, zip(*flat, strict=True)), strict=True))
        columns |= {"longest_run": columns["em"], "nll": [1.0] * len(flat)}
        write_parquet(folder / "trajectory.parquet", columns)


def write_failure(folder: Path, error="mask.layers=[99]: the model has layers 0 to 3", **more) -> None:
    folder.mkdir(parents=True)
    failure = {"schema": 1, "error": error, "type": "UserError", "overrides": ["mask=all", "mask.layers=[99]"], "config": None}
    (folder / "error.json").write_text(json.dumps(failure | more))


def write_sweep(folder: Path, seeds=10, objectives=("unlearn", "edit"), masks=tuple(MASKS), own=True, **more) -> Path:
    """A whole sweep; edits are slower and harm less, random masks are slower, own text is forgotten faster."""
    job = 0
    for objective in objectives:
        for mask in masks:
            for seed in range(seeds):
                speed = {"all": 2.0, "gradient": 1.0}.get(mask, 0.6) * (1.0 if objective == "unlearn" else 0.8)
                harm = {"all": 2.0, "gradient": 1.0}.get(mask, 0.9) * (1.0 if objective == "unlearn" else 0.3)
                write_run(folder / str(job), config(objective, mask, seed), speed, harm, **more)
                job += 1
    for seed in range(seeds) if own else ():
        write_run(folder / str(job), config("unlearn", "gradient", seed, "own"), 1.6, 0.8, **more)
        job += 1
    return folder


def _whole(em: float) -> int:
    return max(0, min(C, round(em)))


def _paragraph(name, index, cluster, before, after, kl, made, trial) -> dict[str, Any]:
    has_alternative = "Edit" in made["objective"]["_target_"] and name == "forget" and index % 4
    return {
        "set": name,
        "index": index,
        "trial": trial,
        "origin": f"{name}.pt:{index}",
        "cluster": cluster,
        "em_before": before,
        "em_after": after,
        "longest_run_before": before,
        "longest_run_after": after,
        "longest_common_run_before": before if name == "forget" else None,
        "longest_common_run_after": min(C, after + 2) if name == "forget" else None,
        "nll_before": 0.1,
        "nll_after": 2.0,
        "kl": kl,
        "self_em": max(after, C // 4),
        "alternative": "something <b>else</b>" if has_alternative else None,
        "alternative_em": C - after if has_alternative else None,
    }


def _stats(paragraphs, name, when) -> dict[str, Any] | None:
    rows = [row for row in paragraphs if row["set"] == name]
    if not rows:
        return None

    def mean(key):
        return sum(row[key] for row in rows) / len(rows)

    em = mean(f"em_{when}")
    edited = [row["alternative_em"] for row in rows if row["alternative_em"] is not None]
    return ({"alternative_em": sum(edited) / len(edited)} if edited and when == "after" else {}) | {
        "n": len(rows),
        "clusters": len({row["cluster"] for row in rows}),
        "em": em,
        "em_ci": [em - 1, em + 1],
        "longest_run": mean(f"longest_run_{when}"),
        "longest_common_run": mean(f"longest_common_run_{when}") if name == "forget" else None,
        "longest_common_run_n": len(rows) if name == "forget" else 0,
        "memorized": sum(row[f"em_{when}"] == C for row in rows) / len(rows),
        "nll": mean(f"nll_{when}"),
        "kl": mean("kl") if when == "after" else 0.0,
        "self_em": mean("self_em") if when == "after" else float(C),
    }


def _write_curve(path: Path, rows) -> None:
    def mean(step, name, place):
        values = [row[place] for row in rows[step] if row[0] == name]
        return sum(values) / len(values)

    with open(path, "w", newline="") as file:
        keys = ("step", "check/forget_em", "check/retain_val_kl", "check/bystander_val_em", "train/loss")
        writer = csv.DictWriter(file, keys)
        writer.writeheader()
        for step in rows:
            writer.writerow({"step": step, "train/loss": 1.0})
            if step:  # the curve starts after the first step
                numbers = (mean(step, "forget", 3), mean(step, "retain_val", 4), mean(step, "bystander_val", 3))
                writer.writerow(dict(zip(keys[1:4], numbers, strict=True)) | {"step": step})
