"""optimizer=kfac: steps that forget most for the KL that they are predicted to cost on text that must stay."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.optim import Optimizer

from memunlearn import several_processes
from memunlearn.curvature.budget import Budget, budget_of
from memunlearn.curvature.damping import damp
from memunlearn.curvature.factors import EigenFactors, Factors, moved
from memunlearn.curvature.measure import with_inputs_of
from memunlearn.curvature.passes import Positions, Reading
from memunlearn.curvature.solving import ConjugateGradients, Projection, Solver, whole_solvers
from memunlearn.errors import UserError
from memunlearn.models.components import WeightTensor, eligible_weights
from memunlearn.models.sparse_delta import base_parameters, delta_positions
from memunlearn.paragraphs.paragraph_set import ParagraphSet, concatenate
from memunlearn.unlearning.kfac_steps import KfacSteps, Probe
from memunlearn.unlearning.optimizers import Deltas, RunContext
from memunlearn.unlearning.setting_checks import check_device, is_number, is_whole

LEAST_BF16_DAMPING = 0.1
"""With less, steps along rounded inverses have been seen to cost ten thousand times what is predicted, or to go uphill."""

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


@dataclass(frozen=True, kw_only=True)
class Kfac:
    """Descent along (F + damping)^-1 m, m the gradient with momentum, F the curvature (`memunlearn.curvature`) of the KL on
    retain_train and protected rows around the base model; after Martens & Grosse 2015 (arXiv 1503.05671) and, for forgetting,
    McKinney et al. 2026 (arXiv 2602.10568).

    relative_norm, max_kl: how long a step is: this share of the norm of all eligible weights, whatever the mask leaves of them,
        but no longer than changes what the model says of that text by max_kl nats a token. First as it is predicted,
        1/2 tr(D' G D A) summed over weights; then as it is measured, KL(before, after the step) on the continuations of
        `probe_rows` of the retain rows, since the prediction leaves out what positions have in common (0: the prediction
        alone). Either may be None, for the other alone.
    forget_inputs: how much the inputs of the rows to be forgotten count in A, beside 1 of the retain text's: with them a step
        avoids what those rows have in common, which other memorized text has too, and goes along what sets them apart. What a
        step is predicted to cost then counts them as well. 0: not at all, as EK-FAC has it.
    damping: of either factor times its mean diagonal (of EK-FAC times a block's mean eigenvalue).
    eigenvalues: "kronecker" (K-FAC) or "corrected" (EK-FAC).
    positions: whose KL is meant: "all" of a row, or those that predict the "continuation". rows: how many retain rows are read
        at most, drawn with the run's seed; None for all.
    sparse: how a step of some of a weight is found: "solve" (the masked system, by conjugate gradients, at most `iterations`)
        or "project" (the step of all of it, cut down: cheap, and not the best there is).
    dtype, device: in which and where what is solved with is kept; device None: with the model. EK-FAC stays in float32;
        inverses in bfloat16 (all of a weight, or "project") need a damping of .1 or more, "solve" does not.
    """

    relative_norm: float | None = 0.015
    max_kl: float | None = 5e-3
    probe_rows: int = 16
    forget_inputs: float = 3.0
    damping: float = 1e-2
    momentum: float = 0.8
    eigenvalues: str = "kronecker"
    positions: Positions = "all"
    rows: int | None = None
    sparse: str = "solve"
    iterations: int = 50
    dtype: str = "float32"
    device: str | None = None

    def __post_init__(self) -> None:
        lengths = {"max_kl": self.max_kl, "relative_norm": self.relative_norm}
        given = {name: value for name, value in lengths.items() if value is not None}
        if not given or not all(is_number(value) and value > 0 for value in given.values()):
            raise UserError(
                f"optimizer.max_kl={self.max_kl} and optimizer.relative_norm={self.relative_norm}: each must be "
                "above 0 or null, and one of them at least a number"
            )
        for name, fits, wanted in (
            ("damping", is_number(self.damping) and self.damping > 0, "above 0"),
            ("momentum", is_number(self.momentum) and 0 <= self.momentum < 1, "from 0 to below 1"),
            ("rows", self.rows is None or is_whole(self.rows, 1), "1 or more, and a whole number"),
            ("forget_inputs", is_number(self.forget_inputs) and self.forget_inputs >= 0, "0 or more"),
            ("probe_rows", is_whole(self.probe_rows, 0), "0 or more, and a whole number"),
            ("iterations", is_whole(self.iterations, 1), "1 or more, and a whole number"),
        ):
            if not fits:
                raise UserError(f"optimizer.{name}={getattr(self, name)} must be {wanted}")
        for name, word, words in (
            ("eigenvalues", self.eigenvalues, ("kronecker", "corrected")),
            ("positions", self.positions, ("continuation", "all")),
            ("sparse", self.sparse, ("solve", "project")),
            ("dtype", self.dtype, tuple(DTYPES)),
        ):
            if word not in words:
                raise UserError(f"optimizer.{name}={word} is not known: use {' or '.join(words)}")
        if self.forget_inputs > 0 and self.eigenvalues == "corrected":
            raise UserError(
                "optimizer.eigenvalues=corrected knows eigenvalues of the retain text alone, while optimizer.forget_inputs="
                f"{self.forget_inputs} (3 unless it is set) counts other rows, too: add optimizer.forget_inputs=0"
            )
        if self.device is not None:
            check_device("optimizer.device", self.device)

    def __call__(self, *, deltas: Deltas, context: RunContext) -> Optimizer:
        """Measures the curvature of the weights that have deltas; the model must be the base model. Of several processes, the
        first measures and solves."""
        if several_processes.number() > 0:
            return KfacSteps(deltas, {}, momentum=self.momentum, max_kl=self.max_kl)
        with several_processes.by_itself():
            return self._measured(deltas, context)

    def _measured(self, deltas: Deltas, context: RunContext) -> Optimizer:
        eligible = context.weights or eligible_weights(context.model)
        weights = [weight for weight in eligible if weight.name in deltas]
        rows = self._rows(context)
        how = Reading(self.positions, batch_size=2 * context.batch_size, seed=context.seed)
        curvature = context.measure_curvature(
            context.model, weights, rows, how, eigenvalues=self.eigenvalues == "corrected", all_weights=eligible
        )
        factors: dict[str, Factors | EigenFactors] = {name: curvature.factors[name] for name in deltas}
        del curvature  # factors make room for their inverses
        if self.forget_inputs > 0:
            plain = {name: known for name, known in factors.items() if isinstance(known, Factors)}
            factors.clear()
            forget = context.preparation.loss_rows if context.forget is None else context.forget
            factors.update(with_inputs_of(context.model, plain, forget, self.forget_inputs, how.batch_size))
        solvers = self._solvers(factors, delta_positions(context.model), {weight.name: weight.shape for weight in weights})
        length = None
        if self.relative_norm is not None:
            base = base_parameters(context.model)
            norms = [base[weight.name].detach().norm() for weight in eligible]
            length = self.relative_norm * float(torch.stack(norms).norm())
        return KfacSteps(
            deltas,
            solvers,
            momentum=self.momentum,
            max_kl=self.max_kl,
            length=length,
            probe=self._probe(context),
            device=self._device,
        )

    def budget(
        self,
        model: torch.nn.Module,
        weights: Sequence[WeightTensor],
        chosen: Sequence[WeightTensor],
        share: float,
        device: torch.device,
        *,
        again: bool = False,
    ) -> Budget:
        """weights: all eligible ones. chosen: those that the mask may choose from. share: how much of them it does. device:
        the model's. again: every trial solves anew. Raises UserError where what is solved with would be rounded too much."""
        if share == 1 or self.sparse == "project":
            self._check_rounding()
        return budget_of(
            model,
            chosen,
            share=share,
            eigenvalues=self.eigenvalues == "corrected",
            projection=self.sparse == "project",
            dtype=DTYPES[self.dtype],
            elsewhere=self.device is not None and torch.device(self.device).type != device.type,
            again=again,
            own_inputs=self.forget_inputs > 0,
            all_weights=weights,
        )

    def _probe(self, context: RunContext) -> Probe | None:
        if self.max_kl is None or self.probe_rows == 0:
            return None
        return Probe(context.model, _drawn(context, self.probe_rows))

    def _rows(self, context: RunContext) -> ParagraphSet:
        baselines = context.preparation.baselines
        rows = baselines["retain_train"].paragraphs if self.rows is None else _drawn(context, self.rows)
        return concatenate([rows, baselines["protected"].paragraphs]) if "protected" in baselines else rows

    def _check_rounding(self) -> None:
        # Of an inverse, large where curvature is small, rounding leaves nothing of what it says where curvature is large.
        if self.dtype == "bfloat16" and self.eigenvalues == "kronecker" and self.damping < LEAST_BF16_DAMPING:
            raise UserError(
                f"optimizer.dtype=bfloat16 rounds inverses too much for optimizer.damping={self.damping}: set "
                f"optimizer.damping={LEAST_BF16_DAMPING} or more, or, where memory is short, "
                "optimizer.dtype=float32 with optimizer.device=cpu"
            )

    @property
    def _device(self) -> torch.device | None:
        return None if self.device is None else torch.device(self.device)

    def _solvers(
        self,
        factors: dict[str, Factors | EigenFactors],
        positions: Mapping[str, Tensor | None],
        shapes: Mapping[str, tuple[int, int]],
    ) -> dict[str, Solver]:
        """By the weight's name; factors is emptied."""
        chosen = {name: flat.to(self._device or flat.device) for name, flat in positions.items() if flat is not None}
        dtype, masked = DTYPES[self.dtype], {name: factors[name] for name in chosen}
        whole = {name: factors[name] for name in factors if name not in chosen or self.sparse == "project"}
        if whole:
            self._check_rounding()
        factors.clear()  # what is moved or inverted is held by nothing else from here on, and makes room
        some = damp(moved(masked, self._device, dtype), self.damping)
        damped = damp(whole, self.damping)
        whole.clear()
        solvers = whole_solvers(damped, dtype, self._device)
        for name, flat in chosen.items():
            if self.sparse == "project":
                solvers[name] = Projection(some[name], solvers[name], flat, shapes[name])
            else:
                solvers[name] = ConjugateGradients.of(some[name], flat, shapes[name], self.iterations)
        return solvers


def _drawn(context: RunContext, count: int) -> ParagraphSet:
    """So many rows of retain_train, or all that are there, drawn with the run's seed; in their order."""
    rows = context.preparation.baselines["retain_train"].paragraphs
    drawn = torch.randperm(len(rows), generator=torch.Generator().manual_seed(context.seed))
    return rows.select(drawn[:count].sort().values)
