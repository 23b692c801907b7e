"""Texts and a table of the demo to try `memunlearn find` and `takedown` with: `python -m benchmarks.texts`.

Some hold a passage that the demo's model recites, at the beginning, in the middle or at the end; others hold none.
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path
from typing import Any

import torch

import memunlearn as mu
from memunlearn.demo.corpus import DemoCorpus
from memunlearn.demo.model import demo_rows


def write_texts(folder: Path, rows: DemoCorpus, tokenizer: Any) -> list[Path]:
    """`letters/` with five texts and `table.csv` with four; returns what was written."""

    def words(*parts: torch.Tensor) -> str:
        text: str = tokenizer.decode(torch.cat(parts).tolist(), clean_up_tokenization_spaces=False)
        return text

    recited, other = rows.memorized, rows.unseen
    letters = {
        "long.txt": words(other[0][:60], recited[0], other[1], other[2]),
        "plain.md": words(recited[1]),
        "never.txt": words(other[3], other[4]),
        "short.txt": words(other[5][:30]),
        "more/end.txt": words(other[6][:30], recited[2]),
    }
    for name, text in letters.items():
        (folder / "letters" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "letters" / name).write_text(text, encoding="utf-8", newline="")
    with (folder / "table.csv").open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file, delimiter=";")
        table.writerow(("name", "source", "text"))
        for number, passage in enumerate(recited[5:9]):
            table.writerow((f"Text {number}", f"book {number}", words(other[10 + number][:17], passage)))
    return [folder / "letters", folder / "table.csv"]


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    arguments.add_argument("--out", type=Path, default=Path("outputs/texts"))
    out: Path = arguments.parse_args().out
    demo = mu.Demo()
    written = write_texts(out, demo_rows(demo), mu.DemoModelSource(demo).load().tokenizer)
    print(f"wrote {written[0]} and {written[1]}")


if __name__ == "__main__":
    main()
