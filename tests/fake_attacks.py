"""attacks.json as plain dicts: every attack of memunlearn on three models, with numbers that follow from their settings."""

from __future__ import annotations

import json
from pathlib import Path

C = 20
SUBJECTS = ("base", "unlearned", "oracle")
LEFT = {"base": 16.0, "unlearned": 2.0, "oracle": 0.5}
HOSTILE = "</table><script>alert(1)</script> & more"
RATES, STEPS = (2e-5, 2e-4, 1e-3), (5, 10, 30, 100)


def attempt(subject, settings, em, **more) -> dict:
    """n rows with mean EM `em`, everything else in proportion; a set with em=None measured nothing."""
    if em is None:
        measured = dict.fromkeys(("em", "longest_run", "memorized", "nll")) | {"n": 0, "clusters": 0}
    else:
        means = {"em": em, "longest_run": min(C, em + 3), "memorized": em / C / 2, "nll": 4 - em / 10}
        intervals = {f"{key}_ci": [0.75 * value, 1.25 * value] for key, value in means.items()}
        measured = {"n": 12, "clusters": 11, **means, **intervals}
    known = {"subject": subject, "settings": settings, **measured, "counts": True, "note": "", "extra": {}}
    return known | more


def entry(attempts, **more) -> dict:
    """One attack: the worst of each model is the counting attempt with the highest EM."""
    worst = {}
    for subject in dict.fromkeys(one["subject"] for one in attempts):
        counting = [place for place, one in enumerate(attempts) if one["subject"] == subject and one["counts"]]
        worst[subject] = max(counting, key=lambda place: attempts[place]["em"], default=None)
    known = {"protocol": "What `was` done & how.", "sentence": "On the unlearned model it brought back 1 of 12 rows whole."}
    return known | {"worst": worst, "seconds": 1.25, "attempts": attempts} | more


def relearning() -> dict:
    """The highest rate breaks the unlearned model, and the lowest does not bring the attacked half back."""
    attempts = []
    for subject in SUBJECTS:
        for on in ("half", "unrelated"):
            for rate, speed in zip(RATES, (0.01, 0.1, 0.03), strict=True):
                for steps in STEPS:
                    counts = on == "unrelated" or subject == "base" or rate > 2e-5
                    note = "" if counts else "the half that was trained on did not come back itself"
                    em = min(C, LEFT[subject] + speed * steps)
                    extra = {"attacked_em": em + 1} if on == "half" else {}
                    settings = {"on": on, "lr": rate, "steps": steps}
                    attempts.append(attempt(subject, settings, em, counts=counts, note=note, extra=extra))
    return entry(attempts)


def content() -> dict:
    """Of attacks.json."""
    kinds, shares, points = ("int8", "int4"), (0.1, 0.5), (0.0, 0.5, 1.0)
    places = [{"shift": 0, "prefix": 20}, {"shift": 5, "prefix": 20}, {"shift": "any", "prefix": "any"}]
    sampling = [
        attempt(
            subject,
            {"n": n, "temperature": 1.0, "top_k": 40},
            min(C, LEFT[subject] + n / 10),
            extra={"whole": 0.25, "whole_expected": 0.3, "em_expected": LEFT[subject] + n / 12},
        )
        for subject in SUBJECTS
        for n in (1, 10, 30)
    ]
    too_long = {"counts": False, "note": "the row with its shots has 300 tokens, and the model reads 256"}
    few_shot = [
        one
        for subject in SUBJECTS
        for one in (attempt(subject, {"shots": 1}, LEFT[subject]), attempt(subject, {"shots": 2}, None, **too_long))
    ]
    partial = [attempt("unlearned", {"share": share}, 19 - 17 * share, counts=share == 1) for share in points]
    attacks = {
        "relearning": relearning(),
        "quantization": entry([attempt(s, {"kind": kind}, LEFT[s] / 2) for s in SUBJECTS for kind in kinds]),
        "pruning": entry([attempt(s, {"share": share}, LEFT[s] * (1 - share)) for s in SUBJECTS for share in shares]),
        "partial": entry(partial),
        "positions": entry([attempt(s, place, LEFT[s] + nth / 4) for s in SUBJECTS for nth, place in enumerate(places)]),
        "sampling": entry(sampling),
        "few_shot": entry(few_shot, sentence=HOSTILE),
        "own_attack": entry([attempt("unlearned", {}, 3.0, note=HOSTILE, interval_note="no interval for em: few clusters")]),
    }
    return {
        "schema": 1,
        "config": {"model": HOSTILE},
        "environment": {"command": "python evaluate.py attacks=all", "commit": "abc", "python": "3.11.7"},
        "seed": 3,
        "subjects": list(SUBJECTS),
        "hashes": {"patch": "0123abcd"},
        "notes": ["The demo is a test of the software & no <evidence>."],
        "attacks": attacks,
    }


def write_attacks(folder: Path, **more) -> Path:
    """attacks.json in the folder; more: in place of what `content` has."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "attacks.json").write_text(json.dumps(content() | more), "utf-8")
    return folder
