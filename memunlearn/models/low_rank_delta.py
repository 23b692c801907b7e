"""A low-rank change of a whole weight matrix: LoRA (Hu et al., 2021, arXiv 2106.09685)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn

from memunlearn.models.components import output_axis
from memunlearn.models.sparse_delta import MakeDelta


class LowRankDelta(nn.Module):
    """effective = base + scale * B A; for a weight that is stored transposed (GPT-2's Conv1D), base + scale * (B A)'.

    A: fp32 Parameter [rank, inputs], drawn as a linear layer's weights are. B: fp32 Parameter [outputs, rank], 0 at the start.
    """

    def __init__(self, base: Tensor, *, rank: int, scale: float, transposed: bool, generator: torch.Generator) -> None:
        super().__init__()
        outputs, inputs = base.shape if not transposed else base.shape[::-1]
        drawn = nn.init.kaiming_uniform_(torch.empty(rank, inputs), a=math.sqrt(5), generator=generator)
        self.A = nn.Parameter(drawn.to(base.device))
        self.B = nn.Parameter(torch.zeros(outputs, rank, device=base.device))
        self.scale = scale
        self.transposed = transposed

    def forward(self, base: Tensor) -> Tensor:
        """base: [rows, columns]; returns the effective weight of the same shape."""
        return base + self._product(self.A, self.B)

    def trained(self) -> dict[str, nn.Parameter]:
        """What there is to train."""
        return {".A": self.A, ".B": self.B}

    def change(self, base: Tensor, trained: Mapping[str, Tensor]) -> tuple[None, Tensor]:
        """The dense delta that these factors make."""
        return None, self._product(trained[".A"], trained[".B"]).detach()

    @torch.no_grad()
    def make_no_change(self) -> None:
        """The effective weight is the base; A stays, so that B still has a gradient."""
        self.B.zero_()

    def _product(self, A: Tensor, B: Tensor) -> Tensor:
        # Under autocast the product would be bf16, and what is trained another model than the patch.
        with torch.autocast(A.device.type, enabled=False):
            product = self.scale * (B @ A)
        return product.T if self.transposed else product


def low_rank(rank: int, alpha: float, seed: int) -> MakeDelta:
    """Makes the deltas of one model, with scale = alpha / rank and A drawn with the seed. Only whole matrices can have one."""
    generator = torch.Generator().manual_seed(seed)

    def make(module: nn.Module, base: Tensor, indices: Tensor | None) -> LowRankDelta:
        assert indices is None, "a low-rank delta changes whole matrices"
        transposed = output_axis(module) == 1
        return LowRankDelta(base, rank=rank, scale=alpha / rank, transposed=transposed, generator=generator)

    return make


def parameters_a_rank(shapes: Iterable[tuple[int, int]]) -> int:
    """Trained parameters that each rank costs: rows + columns of every matrix."""
    return sum(rows + columns for rows, columns in shapes)
