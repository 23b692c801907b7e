"""What an unknown architecture's matrices are, as far as their names tell."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from torch import nn

_ATTENTION = {
    "q": ("q_proj", "query", "q_lin", "wq", "q"),
    "k": ("k_proj", "key", "k_lin", "wk", "k"),
    "v": ("v_proj", "value", "v_lin", "wv", "v"),
    "out": ("o_proj", "out_proj", "dense", "c_proj", "out_lin", "wo", "o"),
}
_MLP = {
    "mlp_in": ("gate_proj", "up_proj", "gate_up_proj", "fc1", "fc_in", "c_fc", "w1", "w3", "dense_h_to_4h", "lin1"),
    "mlp_out": ("down_proj", "fc2", "fc_out", "c_proj", "w2", "dense_4h_to_h", "lin2"),
}


def guessed_patterns(model: nn.Module) -> tuple[dict[str, str], list[str]]:
    """A table as `model.patterns` takes it, and the patterns of matrices of blocks that their names do not tell.

    Fused q, k, v are among the latter: in which order they lie is not in a name.
    """
    table: dict[str, str] = {}
    unknown: list[str] = []
    for name in _matrices_of_blocks(model):
        pattern = re.sub(r"\.\d+\.", ".{layer}.", name, count=1)
        kind = _kind(name)
        if kind is None and pattern not in unknown:
            unknown.append(pattern)
        elif kind is not None:
            table[pattern] = kind
    return table, unknown


def as_override(table: Mapping[str, str]) -> str:
    """As it is typed in a shell behind a command."""
    entries = ", ".join(f"'{pattern}': {kind}" for pattern, kind in table.items())
    return f'model.patterns="{{{entries}}}"'


def _matrices_of_blocks(model: nn.Module) -> Iterator[str]:
    for name, parameter in model.named_parameters():
        reads_text = re.search("vision|image|audio", name) is None
        if reads_text and parameter.ndim == 2 and name.endswith(".weight") and re.search(r"\.\d+\.", name) is not None:
            yield name


def _kind(name: str) -> str | None:
    *around, own, _ = name.lower().split(".")
    in_attention = any("att" in part for part in around)
    known = _ATTENTION if in_attention else _MLP
    return next((kind for kind, names in known.items() if own in names), None)
