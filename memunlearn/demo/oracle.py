"""The demo's oracle: its model as it would be if the forgotten rows had never been shown to it."""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from memunlearn.demo.corpus import DemoCorpus
from memunlearn.demo.model import Demo, built_once, demo_directory, demo_rows
from memunlearn.errors import UserError
from memunlearn.files.writing import replacing_folder
from memunlearn.models.loading import LoadedModel, ModelSource
from memunlearn.paragraphs.clusters import cluster_rows
from memunlearn.paragraphs.roles import row_hashes

# Raised whenever the way an oracle is built changes, so that an older one is not taken for a new one.
ORACLE_BUILD = 1


@dataclass(frozen=True)
class DemoOracle:
    """The demo's model without the rows [n, I] that share a cluster with one of `forget` [m, I].

    With another=False it has the demo's own initial weights and the demo's own batches, in the same order, from which those
    rows are taken out: every other row is shown as often, and when, as to the demo. another=True: the same with the next seed
    for weights and order.
    """

    demo: Demo
    forget: Tensor
    another: bool = False

    def load(self) -> LoadedModel:
        """Builds it at first use, and the demo. Raises UserError where a row of `forget` was never shown to the demo."""
        name = f"the demo's oracle{' of another seed' if self.another else ''}"
        loaded = ModelSource(str(self.directory())).load()
        return LoadedModel(loaded.model, loaded.tokenizer, name)

    def directory(self) -> Path:
        """A plain checkpoint with the demo's tokenizer, beside the demo's own in the cache."""
        rows = demo_rows(self.demo)
        shown = shown_rows(rows, self.forget)
        place = demo_directory(self.demo)
        return built_once(
            place.with_name(f"{place.name}-oracle-{self._key()}"), self.demo, lambda to: self._build(to, rows, shown)
        )

    def _key(self) -> str:
        """Of its rows, whatever their order."""
        everything = [ORACLE_BUILD, self._seed(), sorted(set(row_hashes(self.forget)))]
        return hashlib.sha256(json.dumps(everything).encode()).hexdigest()[:16]

    def _seed(self) -> int:
        return self.demo.seed + self.another

    def _build(self, place: Path, rows: DemoCorpus, shown: dict[str, Tensor]) -> None:
        from memunlearn.demo.training import train_demo_model

        without = sum(int((~part).sum()) for part in shown.values())
        print(
            f"building the demo's oracle, once: {self.demo.steps} steps with seed {self._seed()}, without the {without} rows "
            f"of the clusters to be forgotten -> {place}",
            flush=True,
        )
        with replacing_folder(place) as temporary:
            for file in demo_directory(self.demo).glob("tokenizer*"):
                shutil.copy(file, temporary)
            demo = self.demo
            model = train_demo_model(rows, demo.size, demo.rows_a_step, demo.steps, self._seed(), shown=shown)
            model.save_pretrained(temporary)


def shown_rows(rows: DemoCorpus, forget: Tensor) -> dict[str, Tensor]:
    """By "memorized" and "background" [n] bool: rows of the demo that share no cluster with a row of forget [m, I].

    Raises UserError where a row of forget is none that the demo's model was shown, or no row is left.
    """
    known = {"memorized": rows.memorized, "background": rows.background}
    strangers = set(row_hashes(forget)) - {digest for ids in known.values() for digest in row_hashes(ids)}
    if strangers:
        raise UserError(
            f"demo.oracle=true: {len(strangers)} of the {len(set(row_hashes(forget)))} rows to be forgotten were never shown "
            "to the demo's model, so there is nothing to train without: leave it out, or name an oracle of your own with "
            "reference.oracle=DIR"
        )
    clusters = cluster_rows(torch.cat([forget, *known.values()]))
    of_forget, *of_known = clusters.split([len(forget), *map(len, known.values())])
    shown = {name: ~torch.isin(part, of_forget) for name, part in zip(known, of_known, strict=True)}
    if not any(bool(part.any()) for part in shown.values()):
        raise UserError("demo.oracle=true: all rows of the demo are to be forgotten, and no model is trained of nothing")
    return shown
