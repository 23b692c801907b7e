"""What is measured on the base model, once for every run that needs the same: the jobs of a sweep, and later runs.

The functions below these know of no cache; here each is given its key. A key holds everything that the entry depends on. The
batch size, the device and the kernels are left out: they change the last digits only.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, get_float32_matmul_precision
from transformers import PreTrainedModel

from memunlearn.caching.keys import Key
from memunlearn.caching.store import Store, cached
from memunlearn.commands.measurement_keys import blocks_in_key, metrics_in_key, rows_in_key
from memunlearn.curvature.factors import Curvature
from memunlearn.curvature.measure import measure_curvature
from memunlearn.curvature.packing import packed, unpacked
from memunlearn.curvature.passes import Reading
from memunlearn.evaluation.suite import Baseline, measure_base
from memunlearn.localization.weight_attribution import Asked, Attribution, Scores
from memunlearn.models.components import WeightTensor
from memunlearn.models.fingerprints import architecture_fingerprint, fingerprint
from memunlearn.models.text_ids import no_text
from memunlearn.paragraphs.paragraph_set import ParagraphSet
from memunlearn.scoring.alternatives import Alternatives, find_alternatives
from memunlearn.scoring.forward import ReferenceStates
from memunlearn.scoring.greedy import own_continuations
from memunlearn.scoring.hidden_states import hidden_states
from memunlearn.scoring.output_head import OutputHead
from memunlearn.scoring.sampling import Sampling
from memunlearn.scoring.score import ParagraphScores, score

# Raise one whenever what it names would come out differently, here or in anything it calls; attributions have their own.
VERSIONS = {"scores": 1, "own": 1, "baseline": 1, "hidden": 1, "alternatives": 2, "curvature": 2}
LIBRARIES = ("torch", "transformers")


@dataclass(frozen=True)
class BaseMeasurements:
    """Scores, baselines, alternatives and attributions of one model, each from the store where it is there.

    fingerprint: of its weights; architecture: of its class and config.
    """

    model: PreTrainedModel
    store: Store | None
    fingerprint: str
    architecture: str

    @staticmethod
    def of(model: PreTrainedModel, store: Store | None) -> BaseMeasurements:
        """model: without deltas or a patch. store: None computes everything anew."""
        return BaseMeasurements(model, store, fingerprint(model), architecture_fingerprint(model))

    def scores(
        self,
        paragraphs: ParagraphSet,
        batch_size: int,
        description: str,
        *,
        details: bool = False,
        sampling: Sampling | None = None,
    ) -> ParagraphScores:
        """See `scoring.score`."""
        measured = metrics_in_key(details, compared=False, sampling=sampling)
        return cached(
            self.store,
            "scores",
            self.key("scores", VERSIONS["scores"], {"rows": rows_in_key(paragraphs)}, **measured),
            make=lambda _: score(
                self.model, paragraphs, batch_size, description=description, details=details, sampling=sampling
            ),
            pack=ParagraphScores.tensors,
            unpack=ParagraphScores.of_tensors,
        )

    def own(self, paragraphs: ParagraphSet, batch_size: int, description: str) -> ParagraphSet:
        """See `scoring.own_continuations`."""

        def make(_: Path | None) -> Tensor:
            em = self.scores(paragraphs, 2 * batch_size, "scoring").em
            return own_continuations(self.model, paragraphs, em, batch_size, description).continuations

        if not len(paragraphs):
            return paragraphs
        said = cached(
            self.store,
            "own continuations",
            self.key("own", VERSIONS["own"], {"rows": rows_in_key(paragraphs)}),
            make=make,
            pack=lambda continuations: {"said": continuations},
            unpack=lambda tensors: tensors["said"],
        )
        return paragraphs.with_continuations(said)

    def baseline(
        self,
        model: PreTrainedModel,
        paragraphs: ParagraphSet,
        clusters: Tensor,
        *,
        batch_size: int,
        name: str,
        with_own: bool = True,
        directory: Path | None = None,
        details: bool | None = None,
        sampling: Sampling | None = None,
    ) -> Baseline:
        """See `evaluation.measure_base`; large states lie in the store, and in the directory only where there is none."""
        self._check(model)
        details = with_own if details is None else details
        sampling = sampling if details else None

        def make(large: Path | None) -> Baseline:
            return measure_base(
                model,
                paragraphs,
                clusters,
                batch_size=batch_size,
                name=name,
                with_own=with_own,
                directory=large or directory,
                details=details,
                sampling=sampling,
            )

        def pack(baseline: Baseline) -> dict[str, Tensor]:
            tensors = {**baseline.scores.tensors(), "hidden": baseline.states.hidden}
            return tensors if baseline.own is None else {**tensors, "own": baseline.own.continuations}

        def unpack(tensors: Mapping[str, Tensor]) -> Baseline:
            states = ReferenceStates(tensors["hidden"], OutputHead.of(model))
            own = paragraphs.with_continuations(tensors["own"]) if with_own else None
            scores = ParagraphScores.of_tensors(tensors)
            return Baseline(paragraphs=paragraphs, clusters=clusters, scores=scores, states=states, own=own, sampling=sampling)

        if not len(paragraphs):
            return make(None)
        measured = metrics_in_key(details, compared=True, sampling=sampling)
        key = self.key("baseline", VERSIONS["baseline"], {"rows": rows_in_key(paragraphs)}, with_own=with_own, **measured)
        return cached(self.store, "baselines", key, make=make, pack=pack, unpack=unpack)

    def hidden_states(
        self,
        model: PreTrainedModel,
        block: str,
        paragraphs: ParagraphSet,
        batch_size: int,
        *,
        directory: Path | None = None,
        description: str | None = None,
    ) -> Tensor:
        """See `scoring.hidden_states`; large ones lie in the store, and in the directory only where there is none."""
        self._check(model)
        return cached(
            self.store,
            "hidden states",
            self.key("hidden", VERSIONS["hidden"], {"rows": rows_in_key(paragraphs)}, block=block),
            make=lambda large: hidden_states(
                model, block, paragraphs, batch_size, directory=large or directory, description=description
            ),
            pack=lambda hidden: {"hidden": hidden},
            unpack=lambda tensors: tensors["hidden"],
        )

    def alternatives(
        self,
        model: PreTrainedModel,
        paragraphs: ParagraphSet,
        replacements: int = 1,
        seed: int = 0,
        batch_size: int = 16,
        *,
        never: Sequence[int] | None = None,
    ) -> Alternatives:
        """See `scoring.find_alternatives`."""
        self._check(model)
        key = self.key(
            "alternatives",
            VERSIONS["alternatives"],
            {"rows": rows_in_key(paragraphs), "text_start": paragraphs.text_start},
            replacements=replacements,
            seed=seed,
            **({} if never is None or list(never) == no_text(model, None) else {"never": list(never)}),
        )

        def pack(found: Alternatives) -> dict[str, Tensor]:
            said = found.paragraphs.continuations
            return {"said": said, "found": found.found, "position": found.position, "token": found.token, "em": found.em}

        def unpack(tensors: Mapping[str, Tensor]) -> Alternatives:
            others = {name: tensors[name] for name in ("found", "position", "token", "em")}
            return Alternatives(paragraphs.with_continuations(tensors["said"]), **others)

        return cached(
            self.store,
            "alternatives",
            key,
            make=lambda _: find_alternatives(model, paragraphs, replacements, seed, batch_size, never=never),
            pack=pack,
            unpack=unpack,
        )

    def curvature(
        self,
        model: PreTrainedModel,
        weights: Sequence[WeightTensor],
        paragraphs: ParagraphSet,
        how: Reading | None = None,
        *,
        eigenvalues: bool = False,
        all_weights: Sequence[WeightTensor] | None = None,
    ) -> Curvature:
        """See `curvature.measure_curvature`."""
        self._check(model)
        how = how or Reading()
        options = {"positions": how.positions, "labels": how.labels, "seed": how.seed, "eigenvalues": eigenvalues}
        blocks = blocks_in_key(weights, all_weights or weights)
        return cached(
            self.store,
            "curvature",
            self.key("curvature", VERSIONS["curvature"], {"rows": rows_in_key(paragraphs)}, weights=blocks, **options),
            make=lambda _: measure_curvature(model, weights, paragraphs, how, eigenvalues=eigenvalues, all_weights=all_weights),
            pack=packed,
            unpack=lambda tensors: unpacked(tensors, model.device),
        )

    def attribution(self, method: Attribution) -> Attribution:
        """The same method, its scores from the store where they are there.

        A method without a `version` is a user's own, of which no key can tell when it changed: it is left as it is.
        """
        return _StoredAttribution(self, method) if self.store is not None and hasattr(method, "version") else method

    def key(self, what: str, number: int, paragraphs: Mapping[str, Any], **options: Any) -> Key:
        """Of what is measured on this model: number is the version of how, paragraphs and options what it depends on."""
        model = self.model
        autocast = torch.get_autocast_dtype(model.device.type) if torch.is_autocast_enabled(model.device.type) else None
        return {
            "what": what,
            "version": number,
            "libraries": {name: version(name) for name in LIBRARIES},
            "model": {"weights": self.fingerprint, "architecture": self.architecture},
            "precision": {"weights": str(model.dtype), "autocast": str(autocast), "products": get_float32_matmul_precision()},
            "paragraphs": paragraphs,
            "options": options,
        }

    def _check(self, model: PreTrainedModel) -> None:
        if model is not self.model:
            raise ValueError("these are the measurements of another model")


@dataclass(frozen=True)
class _StoredAttribution:
    """An Attribution. The scores of a single row (a trial's) are not kept: as large as the model, and quick to make again."""

    measurements: BaseMeasurements
    method: Any

    def __call__(self, asked: Asked) -> Scores:
        self.measurements._check(asked.model)

        def make(_: Path | None) -> Scores:
            scores: Scores = self.method(asked)
            return scores

        if len(asked.forget) < 2:
            return make(None)
        kind, uses = type(self.method), self.method.depends_on
        key = self.measurements.key(
            "attribution",
            self.method.version,
            {"forget": rows_in_key(asked.forget), "retain": rows_in_key(asked.retain) if "retain" in uses else None},
            method=f"{kind.__module__}.{kind.__qualname__}",
            settings=dataclasses.asdict(self.method),
            names=sorted(asked.names),
            seed=asked.seed if "seed" in uses else None,
            **({"weights": blocks_in_key(asked.weights, asked.weights)} if "weights" in uses else {}),
        )
        device = asked.model.device
        return cached(
            self.measurements.store,
            "attributions",
            key,
            make=make,
            pack=lambda scores: scores,
            unpack=lambda tensors: {name: tensors[name].to(device) for name in asked.names},
        )
