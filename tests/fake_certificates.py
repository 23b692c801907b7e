"""An evaluation that was asked for a certificate, and attacks beside it, as commands leave them; texts try to break out."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

P, C = 37, 41
HOSTILE = "</dd></dl><script>alert(1)</script><img src=x onerror=alert(2)> & \x00\x1b end"
# One in two pairs of near-duplicates; two rows were not recited whole before, one is now.
CLUSTERS = [3, 3, 5, 8, 11, 12, 13]
EM_BEFORE, EM_NOW = [41, 41, 41, 41, 41, 39, 17], [2, 0, 41, 5, 1, 0, 3]
COMMON_BEFORE, COMMON_NOW = [41, 41, 41, 41, 41, 40, 22], [6, 4, 41, 9, 7, 2, 8]
HASHES = {"base": "ba5e" * 16, "patch": "9a7c" * 16, "unlearned": "d04e" * 16}


def entry(n: int, em: float, memorized: float, **more: Any) -> dict[str, Any]:
    return {"n": n, "clusters": n, "em": em, "memorized": memorized, "kl": 0.0, **more}


def evaluation(texts: bool = False) -> dict[str, Any]:
    """The content of evaluation.json."""
    rows = []
    for i, cluster in enumerate(CLUSTERS):
        row: dict[str, Any] = {
            "sha256": f"{i + 10:x}" * 64,
            "origin": f"letters <{'abcdefg'[i]}>",
            "cluster": cluster,
            "em_before": EM_BEFORE[i],
            "em_now": EM_NOW[i],
            "longest_common_run_before": COMMON_BEFORE[i],
            "longest_common_run_now": COMMON_NOW[i],
        }
        if texts:
            row["texts"] = {name: f"{name} of {'abcdefg'[i]} {HOSTILE}" for name in ("beginning", "original", "before", "now")}
        rows.append(row)
    return {
        "schema": 1,
        "environment": {"python": "3.11.7", "device": "cpu", "libraries": {"memunlearn": "0.1.0", "torch": "2.13.0"}},
        "seed": 19,
        "self_generated": False,
        "roles": {"forget": {"found": 7, "of": 7}},
        "sets": {
            "forget": entry(7, 7.43, 1 / 7),
            "bystander": entry(23, 38.61, 21 / 23, kl=0.1174),
            "near": None,
            "retain": entry(59, 1.27, 0.0, kl=0.0583),
        },
        "certificate": {
            "date": "2031-04-05 16:27 UTC",
            "prefix_length": P,
            "length": C,
            "hashes": dict(HASHES),
            "before": {"forget": entry(7, 37.3, 5 / 7), "bystander": entry(23, 41.0, 1.0), "retain": entry(59, 1.14, 0.0)},
            "rows": rows,
            "notes": ["What it is evidence for."],
        },
    }


def attempt(subject: str, n: int, em: float | None, back: int, counts: bool = True, note: str = "", **settings: Any) -> dict:
    memorized = None if em is None else back / n
    return {
        "subject": subject,
        "settings": settings,
        "n": n,
        "clusters": n,
        "em": em,
        "longest_run": em,
        "memorized": memorized,
        "nll": None if em is None else 3.5,
        "counts": counts,
        "note": note,
        "extra": {"more": 0.5},
    }


def attacks() -> dict[str, Any]:
    """The content of attacks.json: an attack that brings texts back, one that does not, one that says nothing, a user's own."""
    entries = {
        "relearning": [
            attempt("base", 4, 40.56, 4, steps=30, lr=0.0002),
            attempt("unlearned", 4, 12.34, 1, steps=30, lr=0.0002),
            attempt("unlearned", 4, 14.92, 0, steps=100, lr=0.0002),
            attempt("unlearned", 4, 33.33, 3, counts=False, note="the half came back to EM <9.87>", steps=5, lr=0.001),
            attempt("oracle", 4, 2.22, 0, steps=30, lr=0.0002),
        ],
        "few_shot": [attempt("base", 6, 0.48, 0, shots=1), attempt("unlearned", 6, 0.26, 0, shots=1)],
        "pruning": [attempt("unlearned", 7, None, 0, counts=False, note="nothing was measured", share=0.5)],
        "own <attack>": [attempt("unlearned", 7, 8.76, 2, knob="turned")],
    }
    return {
        "schema": 1,
        "seed": 19,
        "subjects": ["base", "unlearned", "oracle"],
        "hashes": {name: HASHES[name] for name in ("base", "unlearned")},
        "attacks": {
            name: {
                "protocol": f"Protocol of {name}.",
                "sentence": f"Sentence of {name} & more.",
                "worst": {},
                "attempts": tried,
            }
            for name, tried in entries.items()
        },
    }


def write(
    folder: Path, evaluated: dict[str, Any] | None = None, attacked: dict[str, Any] | None = None, **changed: Any
) -> Path:
    """The folder with the files; changed: keys of evaluation.json."""
    evaluated = copy.deepcopy(evaluation() if evaluated is None else evaluated)
    (folder / "evaluation.json").write_text(json.dumps(evaluated | changed))
    if attacked is not None:
        (folder / "attacks.json").write_text(json.dumps(attacked))
    return folder
