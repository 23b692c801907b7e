"""Results as a run leaves them, with texts that try to break out of a page."""

from __future__ import annotations

import random
from typing import Any

PREFIX_END = "the last words & symbols:\n    if a < b and c > d:\n        return ["


def set_stats(
    n: int, clusters: int, em: float, nll: float, kl: float | None, decoded: int | None = None, **more: Any
) -> dict[str, Any]:
    stats: dict[str, Any] = {
        "n": n,
        "clusters": clusters,
        "em": em,
        "em_p95": 50,
        "memorized": 1.0 if em == 50 else em / 60,
        "non_memorized": 1.0 if em < 10 else 0.0,
        "longest_run": min(50.0, em + 5.25),
        "longest_common_run": min(50.0, em + 2.5),
        "longest_common_run_n": n if decoded is None else decoded,
        "nll": nll,
        "kl": kl,
        "self_em": em,
        **more,
    }
    for key in ("em", "longest_run", "longest_common_run", "nll", "self_em"):
        stats[f"{key}_ci"] = [stats[key] * 0.9, min(50.0, stats[key] * 1.1 + 0.2)]
    return stats


def result(*, edit: bool = False, **changed: Any) -> dict[str, Any]:
    alternative_before = {"alternative_em": 1.2, "alternative_nll": 6.21} if edit else {}
    alternative_after = {"alternative_em": 44.25, "alternative_nll": 0.412} if edit else {}
    return {
        "schema": 1,
        "config": {
            "seed": 0,
            "protocol": {"_target_": "memunlearn.unlearning.Joint", "epochs": None},
            "model": {"name_or_path": "some/<model> & co"},
            "optimizer": {"_target_": "torch.optim.AdamW", "lr": 1e-4},
        },
        "environment": {"python": "3.11.7", "torch": "2.13.0", "device": "cpu", "git": {"commit": "abc", "dirty": False}},
        "seed": 0,
        "steps": 37,
        "stopped_because": "forget_em",
        "mask": {
            "k": 786,
            "eligible": 786432,
            "per_component": {"0.q": 12, "0.mlp_in": 400, "10.q": 3, "2.mlp_out": 371},
            "size_per_component": {"0.q": 4096, "0.mlp_in": 16384, "10.q": 4096, "2.mlp_out": 16384, "2.q": 4096},
        },
        "before": {
            "forget": set_stats(64, 61, 50.0, 0.08, 0.0, **alternative_before),
            "bystander": set_stats(32, 30, 50.0, 0.07, 0.0),
            "near": None,
            "retain": set_stats(1280, 1179, 0.25, 4.9, 0.0, decoded=200),
            "retain_train": set_stats(256, 250, 0.3, 4.8, 0.0),
        },
        "after": {
            "forget": set_stats(64, 61, 3.125, 3.21, 1.5, **alternative_after),
            "bystander": set_stats(32, 30, 48.75, 0.21, 0.083),
            "near": None,
            "retain": set_stats(1280, 1179, 0.25, 4.93, 0.0121, decoded=200),
            "retain_train": set_stats(256, 250, 0.3, 4.8, None),
        },
        "seconds": {"fit": 61.234, "score": 8.5},
        **changed,
    }


def texts(index: int) -> dict[str, Any]:
    """The columns of a row with text."""
    tokens = [
        "recited ",
        "</table>",
        "<script>",
        "alert('before')",
        "</script>",
        "<!--",
        "\u2028",
        " [bold]",
        "text[/bold]\x1b[31m ",
    ]
    tokens += ["and so on "] * 12
    return {
        "prefix": f"prefix {index} begins with <b>HTML</b> & goes on: {PREFIX_END}",
        "prefix_end": PREFIX_END,
        "continuation": "".join(tokens),
        "continuation_before": "".join(tokens),
        "continuation_after": "something else &amp; <b>bold</b>\n\n" + "averyveryverylongwordwithoutanyspaces" * 3,
        "token_texts": tokens,
        "token_nll_before": [0.01] * len(tokens),
        "token_nll_after": [7.5] + [0.25 * place for place in range(1, len(tokens))],
    }


def paragraphs(n: int = 64) -> list[dict[str, Any]]:
    """Rows of `paragraphs.parquet`: n forget rows and half as many bystanders with text, twice as many retain rows without."""
    draw = random.Random(7)
    rows: list[dict[str, Any]] = []
    for name, count, em in (("forget", n, 50), ("bystander", n // 2, 50), ("retain", 2 * n, 0)):
        for index in range(count):
            after = min(50, int(draw.expovariate(0.3))) if name == "forget" else em - em // 50 * draw.choice((0, 0, 1, 7))
            rows.append(
                {
                    "set": name,
                    "index": index,
                    "cluster": index // 2,
                    "em_before": em,
                    "em_after": after,
                    "longest_run_before": em,
                    "longest_run_after": min(50, after + 4),
                    "longest_common_run_before": em if name != "retain" else None,
                    "longest_common_run_after": min(50, after + 2) if name != "retain" else None,
                    "nll_before": 0.06 if em else 4.5 + draw.random(),
                    "nll_after": (50 - after) / 12 + draw.random(),
                    "kl": draw.random(),
                    **(texts(index) if name != "retain" else {}),
                }
            )
    return rows


def curve(steps: int = 37) -> list[dict[str, float]]:
    """Loss rows at every step and check rows at every fourth, as a logger writes them: never both in one row."""
    rows: list[dict[str, float]] = []
    for step in range(steps):
        rows.append({"step": step, "train/loss": 3.0 - 0.1 * step})
        if step % 4 == 0:
            rows.append(
                {
                    "step": step,
                    "check/forget_em": max(3.0, 50 - 1.6 * step),
                    "check/forget_longest_run": max(8.0, 50 - 1.2 * step),
                    "check/retain_val_kl": 0.0004 * step,
                    "check/bystander_val_em": 50 - 0.03 * step,
                }
            )
    return rows
