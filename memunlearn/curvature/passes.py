"""Reading text with labels of the model's own: what goes into its weights, and the gradients of what comes out of them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from memunlearn.errors import UserError
from memunlearn.models.rows_of_modules import as_rows
from memunlearn.models.sparse_delta import owner_of
from memunlearn.objectives.losses import token_nll
from memunlearn.paragraphs.paragraph_set import FILL, ParagraphSet
from memunlearn.progress import track
from memunlearn.scoring.forward import continuation_logits

Positions = Literal["continuation", "all"]
Labels = Literal["drawn", "every"]


@dataclass(frozen=True, eq=False)
class Reading:
    """How text is read.

    positions: whose KL is meant: those that predict the continuation, or all of a row. labels: "drawn", one at each such
    position from the model's own distribution (the same ones again for the same seed); "every", each of the V labels at each
    position in turn, weighted with its probability: exact, in V x positions as many passes.
    """

    positions: Positions = "all"
    labels: Labels = "drawn"
    batch_size: int = 16
    seed: int = 0

    def __post_init__(self) -> None:
        if self.positions not in ("continuation", "all"):
            raise UserError(f"positions={self.positions} is not known: use continuation or all")
        if self.labels not in ("drawn", "every"):
            raise UserError(f"labels={self.labels} is not known: use drawn or every")

    def scored(self, paragraphs: ParagraphSet) -> int:
        """How many positions of a row have a label: C, or I - 1."""
        return paragraphs.continuation_length if self.positions == "continuation" else paragraphs.ids.shape[1] - 1

    def tokens(self, paragraphs: ParagraphSet) -> int:
        """How many positions of all rows have a label: those that are FILL have none."""
        return int(positions_read(paragraphs.ids)[:, -self.scored(paragraphs) :].sum())


def positions_read(ids: Tensor) -> Tensor:
    """[N, I - 1] bool: the positions of rows [N, I] at which a model is given a token; the others come first."""
    return (ids[:, :-1] != FILL).sort(dim=1).values


def full_precision(device: torch.device) -> torch.autocast:
    """Products in the type of what is multiplied, also where the model is run in mixed precision: factors are sums of small
    numbers, and are inverted."""
    return torch.autocast(device.type, enabled=False)


@dataclass(frozen=True, eq=False)
class Pass:
    """A backward pass over B rows of T = I - 1 tokens, by the weight's name.

    inputs: [B, T, in], 0 where the row has FILL. gradients: [B, T, out] fp32, of the rows' summed NLL by the weight's outputs,
    times the square root of the label's weight. first: the first pass over these rows.
    """

    inputs: Mapping[str, Tensor]
    gradients: Mapping[str, Tensor]
    first: bool


def passes(
    model: PreTrainedModel, names: Sequence[str], paragraphs: ParagraphSet, how: Reading, description: str
) -> Iterator[Pass]:
    """Every row once, or with labels="every" once a position and label."""
    generator = torch.Generator().manual_seed(how.seed)
    scored = how.scored(paragraphs)
    with _recording(model, names) as recorded:
        for rows in track(torch.arange(len(paragraphs)).split(how.batch_size), description):
            read = positions_read(paragraphs.ids[rows]).to(model.device)
            logits = continuation_logits(model, paragraphs.ids[rows], scored)
            labelled = read[:, -scored:]
            losses = _every_label(logits, labelled) if how.labels == "every" else [_drawn(logits, labelled, generator)]
            inputs = _without_fill(recorded.inputs, read)
            outputs = [recorded.outputs[name] for name in names]
            for number, loss in enumerate(losses):
                gradients = torch.autograd.grad(loss, outputs, retain_graph=how.labels == "every")
                by_name = {name: gradient.float() for name, gradient in zip(names, gradients, strict=True)}
                yield Pass(inputs, by_name, number == 0)


def inputs_of(
    model: PreTrainedModel, names: Sequence[str], paragraphs: ParagraphSet, batch_size: int, description: str
) -> Iterator[Mapping[str, Tensor]]:
    """What goes into the weights, [B, T, in] by the weight's name, every row once; 0 where a row has FILL."""
    with _recording(model, names) as recorded, torch.no_grad():
        for rows in track(torch.arange(len(paragraphs)).split(batch_size), description):
            continuation_logits(model, paragraphs.ids[rows], paragraphs.continuation_length)
            yield _without_fill(recorded.inputs, positions_read(paragraphs.ids[rows]).to(model.device))


def _without_fill(inputs: Mapping[str, Tensor], read: Tensor) -> dict[str, Tensor]:
    """The same with 0 where nothing was read [B, T]; weights that read one tensor still do."""
    if bool(read.all()):
        return dict(inputs)
    cleared: dict[int, Tensor] = {}
    for given in inputs.values():
        if given.data_ptr() not in cleared:
            cleared[given.data_ptr()] = given * read.unsqueeze(-1)
    return {name: cleared[given.data_ptr()] for name, given in inputs.items()}


def _drawn(logits: Tensor, labelled: Tensor, generator: torch.Generator) -> Tensor:
    """NLL of labels that the model draws, summed over the positions [B, T] that have one: a scalar."""
    probabilities = logits.detach().float().softmax(-1).cpu()
    # A row at a time, so that the labels are the same in batches of any size.
    labels = torch.stack([torch.multinomial(row, 1, generator=generator).squeeze(1) for row in probabilities])
    return (token_nll(logits, labels.to(logits.device)) * labelled).sum()


def _every_label(logits: Tensor, labelled: Tensor) -> Iterator[Tensor]:
    """For each position and label the sum over the rows that have one there of sqrt(p) NLL(label)."""
    log_p = logits.float().log_softmax(-1)
    roots = (log_p.detach() / 2).exp() * labelled.unsqueeze(-1)
    for position in range(logits.shape[1]):
        for label in range(logits.shape[2]):
            yield -(roots[:, position, label] * log_p[:, position, label]).sum()


@dataclass(frozen=True, eq=False)
class _Recorded:
    inputs: dict[str, Tensor]
    outputs: dict[str, Tensor]


@contextlib.contextmanager
def _recording(model: PreTrainedModel, names: Sequence[str]) -> Iterator[_Recorded]:
    """What the modules of these weights are given and give back at each pass, differentiable from the embeddings on.

    No gradient of a weight is computed, and the model's requires_grad flags come back as they were.
    """
    recorded = _Recorded({}, {})
    flags = {name: parameter.requires_grad for name, parameter in model.named_parameters()}

    def differentiate(module: nn.Module, inputs: tuple[Any, ...], output: Tensor) -> Tensor:
        return output.detach().requires_grad_()

    with contextlib.ExitStack() as undone:
        undone.callback(lambda: [model.get_parameter(name).requires_grad_(flag) for name, flag in flags.items()])
        model.requires_grad_(False)
        undone.enter_context(torch.enable_grad())
        undone.callback(model.get_input_embeddings().register_forward_hook(differentiate).remove)
        rows = undone.enter_context(as_rows(model))
        for name in names:

            def record(module: nn.Module, inputs: tuple[Any, ...], output: Tensor, name: str = name) -> Tensor:
                recorded.inputs[name], recorded.outputs[name] = rows(inputs[0].detach()), rows(output)
                return recorded.outputs[name].view_as(output)

            undone.callback(owner_of(model, name)[0].register_forward_hook(record).remove)
        yield recorded
