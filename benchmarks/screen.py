"""How many recited passages the search for recited spans finds, and how many windows it scores: `python -m benchmarks.screen`.

Every memorized row of the demo is hidden in text that its model never saw, at a place drawn at random. A search at stride 1
says what is recited; recall is the share of these windows that the screen alone would have had scored.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import torch
from torch import Tensor

import memunlearn as mu
from memunlearn.demo.model import demo_rows
from memunlearn.paragraphs.token_texts import TokenText
from memunlearn.paragraphs.windows import Cutting
from memunlearn.recitation.find import Reading, Search, find_recited, screen_recall
from memunlearn.statistics.proportions import share_with_interval


def hidden_in_text(passages: Tensor, other: Tensor, seed: int) -> list[TokenText]:
    """A text for each passage [N, I]: up to 1.5 I other tokens, the passage, up to 1.2 I others. other: rows [M, I]."""
    generator = torch.Generator().manual_seed(seed)
    length = passages.shape[1]

    def some(most: float) -> Tensor:
        rows = other[torch.randint(len(other), (2,), generator=generator)].flatten()
        return rows[: int(torch.randint(int(most * length) + 1, (1,), generator=generator))]

    return [TokenText(name=str(n), ids=torch.cat([some(1.5), passage, some(1.2)])) for n, passage in enumerate(passages)]


def share_scored(readings: Sequence[Reading]) -> float:
    """Windows that the screen would have had scored, of all that there are."""
    return sum(len(reading.screened) for reading in readings) / sum(len(reading.starts) for reading in readings)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    arguments.add_argument("--seeds", type=int, default=5)
    arguments.add_argument("--batch-size", type=int, default=64)
    asked = arguments.parse_args()
    demo = mu.Demo()
    model, rows = mu.DemoModelSource(demo).load().model, demo_rows(demo)
    windows = Cutting("forget", 1).windows(demo.prefix_length, demo.continuation_length)
    how = Search(windows=windows, before=(), least=demo.continuation_length, context=256, batch_size=asked.batch_size)
    found = whole = 0
    shares = []
    for seed in range(asked.seeds):
        readings = find_recited(model, hidden_in_text(rows.memorized, rows.unseen, seed), how, f"texts of seed {seed}")
        some, of = screen_recall(readings, how.least)
        found, whole = found + some, whole + of
        shares.append(share_scored(readings))
    share, (low, high) = share_with_interval(found, whole)
    print(f"the screen finds {found} of {whole} recited windows ({share:.1%}, 95 % interval {low:.1%} to {high:.1%})")
    print(f"windows scored: {min(shares):.0%} to {max(shares):.0%} of all, over {asked.seeds} seeds")


if __name__ == "__main__":
    main()
