"""What was measured as a file, and that file as tables of a page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.rounds import Spread, ratios
from benchmarks.speed.workload import PRODUCTS

Measured = Mapping[str, Any]
"""The file's content: machine, settings, workloads (the fields of `Workload`)."""


def page(measured: Measured) -> str:
    """A table for each workload."""
    machine, settings = measured["machine"], measured["settings"]
    threads = f", {machine['threads']} threads" if machine["threads"] > 1 else ", one thread (its processor time)"
    threads = "" if machine["device"] == "cuda" else threads
    lines = [
        f"`{measured['command']}`, on {machine['name']}{threads}, PyTorch {machine['torch']}. GPT-Neo of the "
        f"{settings['size']} size with random weights, {settings['precision']}, rows of {settings['prefix']} + "
        f"{settings['continuation']} tokens. Median of the rounds (least to most); a ratio is to the first line's seconds in "
        "the same round.",
        "",
    ]
    for workload in measured["workloads"]:
        lines += table(workload)
    return "\n".join(lines)


def table(workload: Mapping[str, Any]) -> list[str]:
    """In Markdown, a line a way."""
    seconds: Mapping[str, Sequence[float]] = workload["seconds"]
    ours = next(iter(seconds.values()))
    tokens, flops, peaks = workload["tokens"], workload["flops"], workload["peak_mib"]
    heads = ["", "seconds", *["tokens/s"] * bool(tokens), *["GFLOP/s"] * bool(flops), *["MiB"] * bool(peaks)]
    whole = sum(Spread.of(values).middle for values in seconds.values())
    heads.append("of all" if workload["parts"] else "times the first")
    told = " ".join(filter(None, [f"{workload['rows']} rows." if workload["rows"] > 1 else "", workload["said"]]))
    lines = [f"**{workload['title']}.** {told}".strip(), "", _row(heads), _row(["---"] * len(heads))]
    for name, values in seconds.items():
        spread = Spread.of(values)
        cells = [name, shown(spread)]
        cells += [f"{tokens / spread.middle:,.0f}" if name != PRODUCTS else ""] * bool(tokens)
        cells += [f"{flops[name] / spread.middle / 1e9:,.0f}" if name in flops else ""] * bool(flops)
        cells += ["" if peaks.get(name) is None else f"{peaks[name]:,.0f}"] * bool(peaks)
        cells.append(f"{spread.middle / whole:.0%}" if workload["parts"] else shown(Spread.of(ratios(values, ours)), digits=2))
        lines.append(_row(cells))
    return [*lines, ""]


def shown(spread: Spread, digits: int | None = None) -> str:
    """Middle (low to high); three significant digits where it is not said how many behind the point."""

    def number(value: float) -> str:
        return f"{value:.3g}" if digits is None else f"{value:.{digits}f}"

    if spread.low == spread.high:
        return number(spread.middle)
    return f"{number(spread.middle)} ({number(spread.low)} to {number(spread.high)})"


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
