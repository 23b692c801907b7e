"""Attribution: one score per weight, how much it matters for the forget set (and not for the retain set).

Every method differentiates the NLL of the objectives (without the bound that `Unlearn` puts on a token's), over the *whole*
forget set (published_code.md, 7): for an edit the rows are the original prefixes with their alternatives. Scores are
[*shape of the weight], fp32, never negative unless said.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol

import torch
from torch import Tensor
from transformers import PreTrainedModel

from memunlearn.curvature.damping import damp
from memunlearn.curvature.measure import measure_curvature
from memunlearn.curvature.passes import Reading, full_precision
from memunlearn.curvature.solving import whole_solvers
from memunlearn.errors import UserError
from memunlearn.models.components import WeightTensor, eligible_weights
from memunlearn.objectives.losses import token_nll
from memunlearn.paragraphs.paragraph_set import ParagraphSet
from memunlearn.progress import track
from memunlearn.scoring.forward import continuation_logits

Names = Sequence[str]
Scores = dict[str, Tensor]


@dataclass(frozen=True, kw_only=True, eq=False)
class Asked:
    """What an attribution is asked: to score the parameters `names` of a model.

    forget: rows of the objective's forget term. retain: retain_train rows. batch_size: rows a pass. seed: of what it draws.
    weights: what each eligible weight is, in any order; none where that was not said.
    """

    model: PreTrainedModel
    names: Names
    forget: ParagraphSet
    retain: ParagraphSet
    batch_size: int
    seed: int
    weights: Sequence[WeightTensor] = ()


class Attribution(Protocol):
    """For its scores to be kept between runs a method is a dataclass with a `version`, raised whenever they would come out
    differently, and `depends_on`: which of "retain", "seed" and "weights" it makes use of.
    """

    def __call__(self, asked: Asked) -> Scores: ...


def check_attribution(attribution: object) -> None:
    """Raises UserError if this cannot be an `Attribution`."""
    taken = inspect.signature(attribution).parameters.values() if callable(attribution) else ()
    if len([one for one in taken if one.default is one.empty and one.kind is not one.VAR_KEYWORD]) != 1:
        raise UserError(
            f"attribution {type(attribution).__name__} cannot be called with one argument, what it is asked (Asked: model, "
            "names, forget, retain, batch_size, seed): let it take that"
        )


def nll_gradient(model: PreTrainedModel, names: Names, paragraphs: ParagraphSet, batch_size: int) -> Scores:
    """d NLL / d weight, NLL being the mean over all rows and continuation tokens: a tensor like the weight for each name."""
    weights = _parameters(model, names)
    total = {name: torch.zeros_like(weight) for name, weight in weights.items()}
    for rows in track(torch.arange(len(paragraphs)).split(batch_size), "attributing"):
        logits = continuation_logits(model, paragraphs.ids[rows], paragraphs.continuation_length)
        nll = token_nll(logits, paragraphs.continuations[rows].to(logits.device))
        share = nll.sum() / (len(paragraphs) * paragraphs.continuation_length)
        for name, gradient in zip(weights, torch.autograd.grad(share, list(weights.values())), strict=True):
            total[name] += gradient
    return total


def sampled_fisher(model: PreTrainedModel, names: Names, paragraphs: ParagraphSet, seed: int) -> Scores:
    """Diagonal Fisher information a token of the model on these paragraphs, its own labels drawn at every position.

    F = C x mean over paragraphs of (d NLL(drawn labels) / d weight)^2, NLL being a mean over the C tokens; one backward pass a
    paragraph: squares of per-paragraph gradients, not the square of a batch's. Labels are drawn independently, so the tokens'
    gradients add up in the mean of squares, and C undoes one of the two divisions by C: in expectation F is the diagonal of the
    second derivative, in nats per token, of the KL to the base model at the base model, where the KL's gradient is 0.
    """
    weights = _parameters(model, names)
    total = {name: torch.zeros_like(weight) for name, weight in weights.items()}
    generator = torch.Generator().manual_seed(seed)
    for row in track(range(len(paragraphs)), "measuring curvature"):
        logits = continuation_logits(model, paragraphs.ids[row : row + 1], paragraphs.continuation_length)
        probabilities = logits.detach()[0].float().softmax(-1).cpu()
        drawn = torch.multinomial(probabilities, 1, generator=generator).T
        nll = token_nll(logits, drawn.to(logits.device)).mean()
        for name, gradient in zip(weights, torch.autograd.grad(nll, list(weights.values())), strict=True):
            total[name] += paragraphs.continuation_length * gradient.square() / len(paragraphs)
    return total


@dataclass(frozen=True)
class Gradient:
    """|g|: the absolute mean gradient of the forget set's NLL (paper, section 4)."""

    version: ClassVar[int] = 1
    depends_on: ClassVar[tuple[str, ...]] = ()

    def __call__(self, asked: Asked) -> Scores:
        return {name: g.abs() for name, g in _gradient(asked, asked.forget).items()}


@dataclass(frozen=True)
class GradientTimesWeight:
    """|g x w|: what setting the weight to zero would change, to first order."""

    version: ClassVar[int] = 1
    depends_on: ClassVar[tuple[str, ...]] = ()

    def __call__(self, asked: Asked) -> Scores:
        weights = _parameters(asked.model, asked.names)
        return {name: (g * weights[name].detach()).abs() for name, g in _gradient(asked, asked.forget).items()}


@dataclass(frozen=True)
class Contrastive:
    """|g| / ||g|| - |r| / ||r||, norms over all scored weights, r the gradient of the retain set's NLL; can be negative.

    The KL to the base model has no gradient there, so only the retain set's own NLL can contrast (published_code.md, 5).
    """

    version: ClassVar[int] = 1
    depends_on: ClassVar[tuple[str, ...]] = ("retain",)

    def __call__(self, asked: Asked) -> Scores:
        g, r = _gradient(asked, asked.forget), _gradient(asked, asked.retain)
        g_norm, r_norm = (torch.stack([x.norm() for x in grads.values()]).norm() for grads in (g, r))
        return {name: g[name].abs() / g_norm - r[name].abs() / r_norm for name in g}


@dataclass(frozen=True)
class Fisher:
    """g^2 / (F + lambda): the forget set's pull against the retain set's curvature; lambda is this quantile of F."""

    version: ClassVar[int] = 2
    depends_on: ClassVar[tuple[str, ...]] = ("retain", "seed")
    quantile: float = 0.5

    def __post_init__(self) -> None:
        if not 0 <= self.quantile <= 1:
            raise UserError(f"attribution.quantile={self.quantile} is outside 0..1")

    def __call__(self, asked: Asked) -> Scores:
        fisher = sampled_fisher(asked.model, asked.names, asked.retain, asked.seed)
        values = torch.cat([f.flatten().cpu() for f in fisher.values()])
        rank = 1 + round(self.quantile * (len(values) - 1))
        damping = float(values.kthvalue(rank).values)
        # With quantile 0, or with weights that never matter, lambda can be 0 and F too: such a weight must not score infinity.
        damping = max(damping, float(values.mean()) * 1e-6, torch.finfo(torch.float32).tiny)
        gradient = _gradient(asked, asked.forget)
        return {name: g.square() / (fisher[name] + damping) for name, g in gradient.items()}


@dataclass(frozen=True)
class Preconditioned:
    """|(F + damping)^-1 g|: how far a weight moves in the step that forgets most for its KL on retain_train.

    F: the curvature there, as Kronecker factors (`memunlearn.curvature`). damping: as in `unlearning.kfac.Kfac`.
    """

    version: ClassVar[int] = 1
    depends_on: ClassVar[tuple[str, ...]] = ("retain", "seed", "weights")
    damping: float = 1e-2

    def __post_init__(self) -> None:
        if not self.damping > 0:
            raise UserError(f"attribution.damping={self.damping} must be above 0")

    def __call__(self, asked: Asked) -> Scores:
        known = {weight.name: weight for weight in asked.weights or eligible_weights(asked.model)}
        weights = [known[name] for name in asked.names]
        how = Reading(batch_size=asked.batch_size, seed=asked.seed)
        factors = measure_curvature(asked.model, weights, asked.retain, how, all_weights=list(known.values())).factors
        gradient = _gradient(asked, asked.forget)
        with full_precision(asked.model.device):
            damped = damp(factors, self.damping)
            del factors  # which make room for their inverses
            solvers = whole_solvers(damped)
            return {name: solvers[name](g.float())[0].abs() for name, g in gradient.items()}


def _gradient(asked: Asked, paragraphs: ParagraphSet) -> Scores:
    return nll_gradient(asked.model, asked.names, paragraphs, asked.batch_size)


def _parameters(model: PreTrainedModel, names: Names) -> dict[str, Tensor]:
    """These parameters of a plain model, with gradients on."""
    parameters = dict(model.named_parameters())
    return {name: parameters[name].requires_grad_() for name in names}


def attribute(
    model: PreTrainedModel,
    names: Names,
    forget: ParagraphSet,
    retain: ParagraphSet,
    *,
    method: Attribution | None = None,
    batch_size: int = 16,
    seed: int = 0,
    weights: Sequence[WeightTensor] = (),
) -> Scores:
    """Scores of the named weights; `method` is |g| if none is given. The model's requires_grad flags are left as they were.

    weights: what they are, for a method that wants to know and a model whose architecture is not known.

    Raises UserError if there is no forget row.
    """
    if not len(forget):
        raise UserError("there is nothing to attribute to: the forget set is empty")
    before = {name: parameter.requires_grad for name, parameter in model.named_parameters()}
    model.requires_grad_(False)
    try:
        asked = Asked(model=model, names=names, forget=forget, retain=retain, batch_size=batch_size, seed=seed, weights=weights)
        scores = (method or Gradient())(asked)
    finally:
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(before[name])
    return scores
