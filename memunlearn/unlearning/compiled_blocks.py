"""compile=true: blocks in fewer, larger kernels, made by torch.compile at the first steps."""

from __future__ import annotations

import contextlib

import lightning
import torch
from torch import nn

from memunlearn.errors import UserError
from memunlearn.unlearning.blocks import blocks_of, unwrapped

COMPILED_A_BLOCK = 8
"""Blocks share their code, and each is compiled anew with and without gradients, and for a last batch that is smaller."""


class CompiledBlocks(lightning.Callback):
    """In training, checks included, each block runs compiled, its deltas with it; embeddings, the head and losses run as
    before, and so does what PyTorch finds that it cannot compile, which is said. Results are the same to rounding.

    backend: torch.compile's.
    """

    def __init__(self, backend: str = "inductor") -> None:
        self.backend = backend
        self.wrapped: list[nn.Module] = []
        self.undone = contextlib.ExitStack()

    def on_train_start(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        blocks = blocks_of(module, "compile")
        torch._dynamo.utils.counters.clear()
        limit = COMPILED_A_BLOCK * len(blocks)
        self.undone.enter_context(torch._dynamo.config.patch(recompile_limit=limit, accumulated_recompile_limit=2 * limit))
        for block in blocks:
            block.forward = torch.compile(block.forward, backend=self.backend)
            self.wrapped.append(block)
        print(f"compile=true: the {len(blocks)} blocks are compiled at the first steps; all else runs as before", flush=True)

    def on_train_end(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        self._undo()
        for why in torch._dynamo.utils.counters["graph_break"]:
            print(f"compile=true: a part of a block was not compiled and ran as before: {str(why).splitlines()[0]}", flush=True)

    def on_exception(self, trainer: lightning.Trainer, module: lightning.LightningModule, exception: BaseException) -> None:
        self._undo()

    def _undo(self) -> None:
        self.undone.close()
        unwrapped(self.wrapped)


def check_compiler(accelerator: str) -> None:
    """Raises UserError where nothing can be compiled here. accelerator: as Lightning names it."""
    from torch._inductor.cpp_builder import get_cpp_compiler
    from torch._inductor.exc import InvalidCxxCompiler
    from torch.utils._triton import has_triton

    if accelerator in ("cuda", "gpu") or (accelerator == "auto" and torch.cuda.is_available()):
        if not has_triton():
            raise UserError("compile=true needs Triton, which is not here: pip install triton, or leave compile out")
        return
    try:
        get_cpp_compiler()
    except InvalidCxxCompiler as error:
        raise UserError(
            "compile=true needs a C++ compiler, and none is found: install g++ (apt-get install g++), name one in the "
            "environment variable CXX, or leave compile out"
        ) from error
