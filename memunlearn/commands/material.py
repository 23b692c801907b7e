"""From the config's paragraphs to what the analyses are given: rows in groups, scored once."""

from __future__ import annotations

from collections import Counter

import numpy as np
import torch
from omegaconf import DictConfig
from torch import Tensor

from memunlearn.analyses.material import Material
from memunlearn.commands.base_measurements import BaseMeasurements
from memunlearn.errors import UserError
from memunlearn.models.components import eligible_weights
from memunlearn.models.loading import LoadedModel
from memunlearn.models.text_config import vocabulary_size
from memunlearn.models.text_ids import no_text
from memunlearn.paragraphs.bins import bin_labels, em_bins, is_memorized, is_non_memorized
from memunlearn.paragraphs.cluster_choice import number_generator, thin
from memunlearn.paragraphs.clusters import clusters_of
from memunlearn.paragraphs.frequency import count_tokens, read_token_counts
from memunlearn.paragraphs.given_files import ARRAYS, existing_file
from memunlearn.paragraphs.sources import LoadedParagraphs


def check_material(cfg: DictConfig) -> None:
    """What can be told before a model is loaded. Raises UserError as `make_material` does."""
    if cfg.max_per_bin is not None and (not isinstance(cfg.max_per_bin, int) or cfg.max_per_bin < 1):
        raise UserError(f"max_per_bin={cfg.max_per_bin} is not a number of paragraphs: set 1 or more, or null for all")
    if cfg.frequency is not None:
        existing_file(cfg.frequency, ARRAYS, "token counts")


def make_material(
    cfg: DictConfig, loaded: LoadedModel, measurements: BaseMeasurements, paragraphs: LoadedParagraphs
) -> Material:
    """The rows of a corpus, of the source's bins, or of sets given by name, at most `max_per_bin` of each EM bin.

    Token frequencies are those of all rows, each cluster counting once, or of the file that `frequency` names. Raises UserError
    for a `max_per_bin` below 1 and for an unreadable file of counts.
    """
    check_material(cfg)
    weights = eligible_weights(loaded.model, loaded.patterns)  # an unknown architecture is refused before anything is scored
    vocabulary = vocabulary_size(loaded.model)
    rows = paragraphs.all_rows
    clusters = clusters_of(rows)
    if cfg.frequency is None:
        frequency = count_tokens(rows.text, vocabulary, clusters)
    else:
        frequency = read_token_counts(cfg.frequency, vocabulary)
    scores = measurements.scores(rows, 2 * cfg.batch_size, "scoring")
    bins = paragraphs.bins_of_origin or bin_labels(scores.em, rows.continuation_length)
    memorized, non_memorized = _groups(paragraphs, scores.em, bins, rows.continuation_length)
    kept = _draw(bins, memorized, clusters, cfg.max_per_bin, cfg.seed)
    return Material(
        model=loaded.model,
        weights=weights,
        tokenizer=loaded.tokenizer,
        paragraphs=rows.select(kept),
        scores=scores.select(kept),
        clusters=clusters[kept],
        bins=[bins[row] for row in kept.tolist()],
        memorized=memorized[kept],
        non_memorized=non_memorized[kept],
        self_generated=paragraphs.self_generated,
        frequency=frequency,
        seed=cfg.seed,
        batch_size=cfg.batch_size,
        own=lambda some: measurements.own(some, cfg.batch_size, "decoding own text"),
        alternatives=lambda some, replacements: measurements.alternatives(
            loaded.model,
            some,
            replacements,
            cfg.seed,
            2 * cfg.batch_size,
            never=no_text(loaded.model, loaded.tokenizer),
        ),
    )


def describe(material: Material) -> list[str]:
    """A line a group, for the terminal."""
    length = material.paragraphs.continuation_length
    counts = Counter(material.bins)
    labels = [one.label for one in em_bins(length)]
    lines = ["EM " + ", ".join(f"{label}: {counts[label]} rows" for label in labels)]
    for name, group in (("memorized", material.memorized), ("non-memorized", material.non_memorized)):
        clusters = len(material.clusters[group].unique())
        lines.append(f"{name}: {int(group.sum())} rows in {clusters} clusters")
    if below := int((material.scores.em[material.memorized] < length).sum()):
        lines.append(f"warning: {below} rows of the memorized group are not recited (EM < {length})")
    return lines


def _groups(paragraphs: LoadedParagraphs, em: Tensor, bins: list[str], length: int) -> tuple[Tensor, Tensor]:
    """[N] bool of memorized and of non-memorized rows: by EM, by origin, or by the set that was given."""
    if paragraphs.corpus is not None:
        return is_memorized(em, length), is_non_memorized(em, length)
    if paragraphs.bins:
        labels = [one.label for one in em_bins(length)]
        return torch.tensor([one == labels[-1] for one in bins]), torch.tensor([one == labels[0] for one in bins])
    sizes = [0 if members is None else len(members) for members in (paragraphs.forget, paragraphs.bystander)]
    in_memorized = torch.arange(len(em)) < sum(sizes)
    in_memorized[len(em) - len(paragraphs.protected or ()) :] = True
    return in_memorized, ~in_memorized


def _draw(bins: list[str], memorized: Tensor, clusters: Tensor, at_most: int | None, seed: int) -> Tensor:
    """Positions of the rows to keep, in order: of each bin (where sets were named: of each group in it) `at_most`, from
    as many clusters as possible."""
    if at_most is None:
        return torch.arange(len(bins))
    labels = list(zip(bins, memorized.tolist(), strict=True))
    generator = number_generator(seed, "max_per_bin")
    kept = [
        thin(np.array([row for row, one in enumerate(labels) if one == label]), clusters.numpy(), at_most, generator)
        for label in sorted(set(labels))
    ]
    return torch.from_numpy(np.sort(np.concatenate(kept)))
