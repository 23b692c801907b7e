"""What full scoring costs beside EM, longest run, NLL and KL alone: `python -m benchmarks.scoring`.

On the demo's model and on a random GPT-Neo with a vocabulary of 50,257, against a base model. The ways take turns, each once a
round; a ratio is that of one round, given as median and quartiles over rounds. What is decoded costs its decoding, not its
metrics.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from statistics import quantiles

import torch
from transformers import GPTNeoConfig, GPTNeoForCausalLM, PreTrainedModel

import memunlearn as mu
from benchmarks.rounds import Way, in_turns, ratios
from memunlearn.objectives.losses import token_kl, token_nll
from memunlearn.scoring.forward import ReferenceStates, continuation_logits, head_inputs
from memunlearn.scoring.one_pass import token_hits
from memunlearn.scoring.runs import leading_run, longest_run
from memunlearn.scoring.sampling import Sampling
from memunlearn.scoring.score import reference_states, score

ALONE = "the four alone"


@torch.no_grad()
def the_four_alone(model: PreTrainedModel, rows: mu.ParagraphSet, batch_size: int, base: ReferenceStates) -> None:
    """EM, longest run, NLL and KL of each row, each from the logits by itself."""
    for numbers in torch.arange(len(rows)).split(batch_size):
        with head_inputs(model):
            logits = continuation_logits(model, rows.ids[numbers], rows.continuation_length)
        labels = rows.continuations[numbers].to(logits.device)
        hits = token_hits(logits, labels)
        leading_run(hits), longest_run(hits)
        token_nll(logits, labels).mean(1), token_kl(base.logits(numbers), logits).mean(1)


def ways(model: PreTrainedModel, rows: mu.ParagraphSet, batch_size: int) -> dict[str, Way]:
    """By name, the first one is what the others are compared with."""
    _, base = reference_states(model, rows, batch_size)

    def scoring(details: bool, sampling: Sampling | None) -> Way:
        return lambda: score(model, rows, batch_size, reference=base, details=details, sampling=sampling)

    return {
        ALONE: lambda: the_four_alone(model, rows, batch_size, base),
        "as checks score": scoring(False, None),
        "every metric": scoring(True, None),
        "every metric, p_z": scoring(True, Sampling(40)),
    }


def clock() -> float:
    """Seconds, once all that was asked of the device is done."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()


def random_model(layers: int, hidden: int) -> PreTrainedModel:
    torch.manual_seed(0)
    kinds = [[["global"], layers]]
    config = GPTNeoConfig(vocab_size=50257, hidden_size=hidden, num_layers=layers, num_heads=8, attention_types=kinds)
    model: PreTrainedModel = GPTNeoForCausalLM(config).eval()
    return model


def line(name: str, values: Sequence[float]) -> str:
    low, middle, high = quantiles(values, n=4)
    return f"{name:<20}{middle:8.2f}   {low:.2f} to {high:.2f}"


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    arguments.add_argument("--rounds", type=int, default=9)
    arguments.add_argument("--layers", type=int, default=4, help="of the random model")
    arguments.add_argument("--hidden", type=int, default=512, help="of the random model")
    arguments.add_argument("--batch-size", type=int, default=32)
    asked = arguments.parse_args()
    demo = mu.Demo()
    corpus = mu.DemoSource(demo).load().corpus
    assert corpus is not None
    ids = torch.randint(0, 50257, (asked.batch_size, 100), generator=torch.Generator().manual_seed(0))
    subjects = {
        "the demo": (mu.DemoModelSource(demo).load().model, corpus.select(torch.arange(128))),
        f"random GPT-Neo, {asked.layers} layers x {asked.hidden}, vocabulary 50,257": (
            random_model(asked.layers, asked.hidden),
            mu.ParagraphSet(ids, 50, ("random",) * len(ids)),
        ),
    }
    device = "cuda" if torch.cuda.is_available() else "cpu"
    for name, (model, rows) in subjects.items():
        of_ways = ways(model.to(device), rows, asked.batch_size)  # type: ignore[arg-type]
        seconds = in_turns(of_ways, asked.rounds, clock)
        found = {way: ratios(values, seconds[ALONE]) for way, values in seconds.items()}
        print(f"{name}: {len(rows)} rows on {device}, {asked.rounds} rounds; time beside {ALONE}: median, quartiles")
        print("\n".join(line(way, values) for way, values in found.items()), flush=True)


if __name__ == "__main__":
    main()
