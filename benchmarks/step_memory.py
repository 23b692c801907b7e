"""What a training step takes beside the model's weights: `python -m benchmarks.step_memory`.

A random GPT-Neo of the 125M size, steps of Adam with objective=unlearn, fp32: the most memory that is alive at once in the
second step (in which the optimizer's state is there), by mask, without and with gradient_checkpointing.
"""

from __future__ import annotations

import argparse
import itertools

import lightning
import torch
from transformers import GPTNeoConfig, GPTNeoForCausalLM, PreTrainedModel

from benchmarks.memory import MemoryAlive
from memunlearn.masks.selection import Mask, select_all, select_random
from memunlearn.models.components import eligible_weights
from memunlearn.models.sparse_delta import attach, delta_parameters, detach
from memunlearn.objectives.contrastive import Unlearn
from memunlearn.paragraphs.paragraph_set import ParagraphSet
from memunlearn.scoring.forward import ReferenceStates
from memunlearn.unlearning.gradient_checkpointing import GradientCheckpointing
from memunlearn.unlearning.step_rows import KnownRows, StepRows


class Holder(lightning.LightningModule):
    def __init__(self, model: PreTrainedModel) -> None:
        super().__init__()
        self.model = model


def rows_of(model: PreTrainedModel, count: int) -> KnownRows:
    """Random rows of 50 + 50 tokens, with states that nobody has measured."""
    ids = torch.randint(model.config.vocab_size, (count, 100))
    states = ReferenceStates.empty(count, 50, model)
    states.hidden.normal_()
    return KnownRows(ParagraphSet(ids, 50, tuple(str(number) for number in range(count))), states)


def peak_of_a_step(model: PreTrainedModel, mask: Mask, rows: int, checkpointed: bool) -> int:
    """Bytes beside the weights, deltas and their positions among them."""
    known = StepRows(forget=rows_of(model, rows), retain=rows_of(model, rows))
    batch = {"forget": torch.arange(rows), "retain": torch.arange(rows)}
    callback = GradientCheckpointing()
    with MemoryAlive() as memory:
        attach(model, mask.indices)
        deltas = delta_parameters(model)
        optimizer = torch.optim.Adam(deltas.values(), lr=1e-4)
        holder = Holder(model)
        if checkpointed:
            callback.on_train_start(None, holder)  # type: ignore[arg-type]
        for _ in range(2):
            memory.peak = memory.alive
            optimizer.zero_grad()
            Unlearn()(known.material(model, batch, deltas)).total.backward()
            optimizer.step()
        callback.on_train_end(None, holder)  # type: ignore[arg-type]
        peak: int = memory.peak
    detach(model)
    return peak


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    arguments.add_argument("--rows", type=int, default=8, help="of either side")
    arguments.add_argument("--layers", type=int, default=12)
    asked = arguments.parse_args()
    torch.manual_seed(0)
    config = GPTNeoConfig(
        hidden_size=768, num_layers=asked.layers, num_heads=12, attention_types=[[["global", "local"], asked.layers // 2]]
    )
    model = GPTNeoForCausalLM(config).eval()
    weights = eligible_weights(model)
    size = sum(parameter.nbytes for parameter in model.parameters())
    print(f"weights: {size / 2**20:,.0f} MiB; beside them, in steps of {asked.rows} + {asked.rows} rows:")
    masks = {
        "all": select_all(weights),
        "5 %": select_random(weights, 0.05, seed=0),
        "0.1 %": select_random(weights, 0.001, seed=0),
    }
    for (name, mask), checkpointed in itertools.product(masks.items(), (False, True)):
        peak = peak_of_a_step(model, mask, asked.rows, checkpointed)
        print(f"{name}, gradient_checkpointing={str(checkpointed).lower()}: {peak / 2**20:,.0f} MiB", flush=True)


if __name__ == "__main__":
    main()
