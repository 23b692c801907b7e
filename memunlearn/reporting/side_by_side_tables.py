"""What evaluate.py prints of base, unlearned model and oracle side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from memunlearn.reporting.terminal import visible
from memunlearn.results.tables import MISSING
from memunlearn.words import counted, fixed

MODELS = {"base": "base", "unlearned": "unlearned", "oracle": "oracle", "second_oracle": "oracle 2"}
SCORES = {"nll": "NLL", "zlib": "zlib", "min_k": "min-k", "min_k_pp": "min-k++", "reference": "reference"}


def print_side_by_side(
    oracle: Mapping[str, Any] | None, membership: Mapping[str, Any] | None, console: Console | None = None
) -> None:
    """Prints a table of each that is there. oracle, membership: as in evaluation.json."""
    console = console or Console()
    if oracle is not None:
        stats = oracle["models"]["oracle"]["forget"]
        head = f"{stats['n']} forgotten rows in {stats['clusters']} clusters, with 95 % intervals"
        lines = [f"KS: {oracle['nll_distance_is']}", f"KL: {oracle['kl_is']}", *oracle["notes"]]
        console.print(*_lines([head], console), _oracle_table(oracle), *_lines(lines, console), "", sep="\n")
    if membership is None:
        return
    if membership["scores"] is None:
        console.print(*_lines([f"membership is not known: {membership['reason']}"], console), "", sep="\n")
        return
    groups = (("forgotten", membership["forgotten"]), ("never-seen", membership["never_seen"]))
    sizes = [
        f"{one['n']} {name} rows ({counted(one['clusters'], 'cluster')}, {counted(one['duplicates'], 'duplicate')})"
        for name, one in groups
    ]
    head = f"{membership['figure']}: AUROC of {sizes[0]} against {sizes[1]}"
    text = membership["text_classifier"]
    told = f"told by the text alone: {_number(text['auroc'], 3)} ({_interval(text['auroc_ci'], 3) or 'no interval'})"
    lines = [told, *_leak_notes(membership["scores"]), *membership["notes"]]
    console.print(*_lines([head], console), _membership_table(membership), *_lines(lines, console), "", sep="\n")


def _oracle_table(oracle: Mapping[str, Any]) -> Table:
    table = _table()
    for header in ("model", "EM\ntokens", "longest\nrun", "NLL\nnats", "KL\nforget", "KL\nretain", "KS of\nNLL", "p"):
        table.add_column(header, justify="left" if header == "model" else "right", vertical="bottom", no_wrap=True)
    for name, title in MODELS.items():
        if name not in oracle["models"]:
            continue
        stats, kl = oracle["models"][name]["forget"], oracle["kl"].get(name, {})
        distance = oracle["nll_distance"].get(name, {})
        numbers = [(stats["em"], stats["em_ci"], 1), (stats["longest_run"], stats["longest_run_ci"], 1)]
        numbers.append((stats["nll"], stats["nll_ci"], 2))
        of_kl = [kl.get(one) or {"mean": None, "ci": None} for one in ("forget", "retain")]
        numbers += [(one["mean"], one["ci"], 2) for one in of_kl]
        bounds = None if distance.get("low") is None else [distance["low"], distance["high"]]
        numbers.append((distance.get("value"), bounds, 2))
        p_value = _number(distance.get("p_value"), 4)
        table.add_row(Text(title, style="bold"), *(_number(value, digits) for value, _, digits in numbers), p_value)
        table.add_row("", *(_interval(ci, digits) for _, ci, digits in numbers), "", end_section=True)
    return table


def _membership_table(membership: Mapping[str, Any]) -> Table:
    table = _table()
    for header in ("score", "base", "unlearned", "oracle", "privleak\n%"):
        table.add_column(header, justify="left" if header == "score" else "right", vertical="bottom", no_wrap=True)
    for key, found in membership["scores"].items():
        models = [found.get(name) or {"auroc": None, "auroc_ci": None} for name in ("base", "unlearned", "oracle")]
        leak = found["privleak"]
        shown = MISSING if leak is None else f"{leak:+.1f}"
        table.add_row(Text(SCORES.get(key, key), style="bold"), *(_number(one["auroc"], 3) for one in models), shown)
        table.add_row("", *(_interval(one["auroc_ci"], 3) for one in models), "", end_section=True)
    return table


def _leak_notes(scores: Mapping[str, Any]) -> list[str]:
    """Why a privleak is lacking, each reason once."""
    of_reason: dict[str, list[str]] = {}
    for key, found in scores.items():
        if found["privleak_note"]:
            of_reason.setdefault(found["privleak_note"], []).append(SCORES.get(key, key))
    return [f"no privleak for {', '.join(keys)}: {why}" for why, keys in of_reason.items()]


def _lines(lines: Sequence[str], console: Console) -> list[Text]:
    return [Text(visible(line, console.encoding)) for line in lines]


def _table() -> Table:
    return Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))


def _number(value: float | None, digits: int) -> str:
    return MISSING if value is None else fixed(value, digits)


def _interval(bounds: Sequence[float] | None, digits: int) -> str:
    return "" if bounds is None else "-".join(fixed(bound, digits) for bound in bounds)
