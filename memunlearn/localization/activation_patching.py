"""Activation patching: which activations carry the damage that one perturbed prefix token does (paper, finding 6)."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from transformers import PreTrainedModel

from memunlearn.localization.activations import (
    ActivationSite,
    Cells,
    Replacement,
    activation_cells,
    activation_sites,
    recorded,
    replaced,
)
from memunlearn.localization.labelled import Labelled
from memunlearn.localization.twins import Twins
from memunlearn.models.components import WeightTensor
from memunlearn.objectives.losses import token_nll
from memunlearn.progress import track

DIRECTIONS = ("twin into original", "original into twin")
POSITIONS = ("intervention", "impact")


@torch.no_grad()
def activation_patching(
    model: PreTrainedModel,
    weights: Sequence[WeightTensor],
    twins: Twins,
    *,
    per_head: bool = False,
    min_difference: float = 0.1,
    batch_size: int = 16,
) -> Labelled:
    """What patching one cell at one position does to the NLL of the impact token: every cell (layer and component, with
    per_head each head of it) of n pairs, both ways, at both positions. Source: paper, section 4 (activation patching).

    effect: [row, direction, position, cell] float64, in the order of DIRECTIONS and POSITIONS: 0 where the patch changes
    nothing, 1 where it does what replacing the whole run would do, and not bounded by these, since what one cell does the
    others can undo or add to; NaN in rows that are not `kept`. `intervention` is the position of the replaced token, `impact`
    the one whose logits predict the impact token.
        twin into original: (NLL_patched - NLL_clean) / (NLL_corrupted - NLL_clean)
        original into twin: (NLL_corrupted - NLL_patched) / (NLL_corrupted - NLL_clean)
    clean, corrupted: [row] float64, nats: NLL of the impact token (the original's true token) after the original's prefix and
    after the twin's, the true continuation up to it being given to both. kept: [row] bool, whether corrupted - clean is at
    least `min_difference`: below it the ratio says nothing. batch_size: cells a pass.
    """
    sites = activation_sites(weights)
    cells = activation_cells(sites, per_head)
    n = len(twins)
    effects = torch.full((n, len(DIRECTIONS), len(POSITIONS), len(cells.labels)), torch.nan, dtype=torch.float64)
    nll = torch.empty(n, 2, dtype=torch.float64)
    kept = torch.zeros(n, dtype=torch.bool)
    for row in track(range(n), "patching activations"):
        last = int(twins.predicts_impact[row])
        pair = torch.stack([twins.original.ids[row], twins.perturbed.ids[row]])[:, : last + 2].to(model.device)
        positions = [int(twins.intervention[row]), last]
        with recorded(model, sites) as found:
            nll[row] = _last_token_nll(model, pair)
        activations = {name: values[:, positions] for name, values in found.items()}
        difference = float(nll[row, 1] - nll[row, 0])
        kept[row] = difference >= min_difference
        if not kept[row]:
            continue
        for base, donor in ((0, 1), (1, 0)):
            for i, position in enumerate(positions):
                given = {name: values[donor, i] for name, values in activations.items()}
                patched = patched_nll(
                    model, sites, cells, ids=pair[base], position=position, given=given, batch_size=batch_size
                )
                effects[row, base, i] = (patched - nll[row, base]) / (nll[row, donor] - nll[row, base])
    return Labelled(
        {"row": range(n), "direction": DIRECTIONS, "position": POSITIONS, "cell": cells.labels},
        {
            "effect": (("row", "direction", "position", "cell"), effects),
            "clean": (("row",), nll[:, 0]),
            "corrupted": (("row",), nll[:, 1]),
            "kept": (("row",), kept),
        },
    )


@torch.no_grad()
def patched_nll(
    model: PreTrainedModel,
    sites: Sequence[ActivationSite],
    cells: Cells,
    *,
    ids: Tensor,
    position: int,
    given: Mapping[str, Tensor],
    batch_size: int,
) -> Tensor:
    """NLL of the last of these ids [T], when one cell's activations at one position are these: [cells] float64, in nats.

    given: by site name [features], what to put there. Nothing before the position depends on it, so its keys and values are
    computed once, and each pass (`batch_size` cells) runs the tokens from the position on.
    """
    before = None
    if position:
        before = model(input_ids=ids[None, :position], use_cache=True, logits_to_keep=1).past_key_values
    rest = ids[position:]
    nll = []
    for batch in torch.arange(len(cells.labels), device=ids.device).split(batch_size):
        patches = {}
        for site in sites:
            in_cell = cells.of_feature[site.name].to(ids.device) == batch.unsqueeze(1)
            if bool(in_cell.any()):
                where = in_cell.new_zeros(len(batch), len(rest) - 1, in_cell.shape[1])
                where[:, 0] = in_cell
                patches[site.name] = Replacement(where, given[site.name])
        past = copy.deepcopy(before)
        if past is not None:
            past.batch_repeat_interleave(len(batch))
        with replaced(model, sites, patches):
            nll.append(_last_token_nll(model, rest.expand(len(batch), -1), past))
    return torch.cat(nll)


def _last_token_nll(model: PreTrainedModel, ids: Tensor, past: object | None = None) -> Tensor:
    """[B] float64 on the CPU: NLL of the last token of ids [B, T], given those before it (and what `past` holds)."""
    logits = model(input_ids=ids[:, :-1], past_key_values=past, use_cache=past is not None, logits_to_keep=1).logits
    return token_nll(logits, ids[:, -1:]).flatten().cpu().double()
