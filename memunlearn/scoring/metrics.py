"""The list of metrics. Adding one is adding an entry.

Scores, result.json, the parquet files, tables, pages, sweeps and the stop rule's checks iterate over METRICS.
"""

from __future__ import annotations

from typing import TypeVar

import numpy as np

from memunlearn.paragraphs.bins import is_memorized, is_non_memorized
from memunlearn.scoring.detail_metrics import DETAILS
from memunlearn.scoring.metric import (
    NATS,
    SHARE,
    TOKENS,
    FromPass,
    FromPassAndBase,
    FromText,
    Metric,
    OfAlternatives,
    OfMean,
    OfOwnText,
    Percentile,
    ShareOfRows,
    Unit,
)
from memunlearn.scoring.runs import leading_run, longest_common_run, longest_run

Kind = TypeVar("Kind")

EM = Metric(
    key="em",
    label="EM",
    unit=TOKENS,
    digits=1,
    definition="leading continuation tokens that greedy decoding from the prefix gets right (exact match)",
    source=FromPass(lambda given: leading_run(given.hits)),
    forgotten="lower",
    kept="higher",
    checked=("forget", "bystander_val"),
    swept=("forget", "bystander", "suspected"),
    in_terminal=True,
)
EM_P95 = Metric(
    key="em_p95",
    label="EM, 95th percentile",
    unit=TOKENS,
    digits=1,
    definition="the 95th percentile of EM over rows",
    source=Percentile(EM, 95),
    forgotten="lower",
    kept="higher",
    checked=("forget",),
)
LONGEST_RUN = Metric(
    key="longest_run",
    label="longest run",
    unit=TOKENS,
    digits=1,
    definition="longest run of right tokens at any offset, all tokens before each being true: one flipped token games EM alone",
    source=FromPass(lambda given: longest_run(given.hits)),
    forgotten="lower",
    kept="higher",
    checked=("forget",),
    swept=("forget",),
    in_terminal=True,
)
LONGEST_COMMON_RUN = Metric(
    key="longest_common_run",
    label="longest common run",
    unit=TOKENS,
    digits=1,
    definition="longest run of the original continuation's tokens in what the model says, at any place",
    source=FromText(longest_common_run),
    forgotten="lower",
    kept="higher",
    checked=("forget",),
    swept=("forget",),
    in_terminal=True,
)
MEMORIZED = Metric(
    key="memorized",
    label="memorized",
    unit=SHARE,
    digits=1,
    definition="rows with EM = C",
    source=ShareOfRows(EM, is_memorized),
    forgotten="lower",
    kept="higher",
    in_terminal=True,
)
NON_MEMORIZED = Metric(
    key="non_memorized",
    label="non-memorized",
    unit=SHARE,
    digits=1,
    definition="rows with EM <= C/5",
    source=ShareOfRows(EM, is_non_memorized),
    forgotten="higher",
    kept="lower",
)
NLL = Metric(
    key="nll",
    label="NLL",
    unit=NATS,
    digits=3,
    definition="mean over the continuation of -log p(true token given all true tokens before it)",
    source=FromPass(lambda given: given.token_nll.mean(1)),
    forgotten="higher",
    kept="lower",
    swept=("forget",),
    in_terminal=True,
)
KL = Metric(
    key="kl",
    label="KL",
    unit=NATS,
    digits=4,
    definition="mean over the continuation of KL(base distribution, current distribution)",
    source=FromPassAndBase(lambda given: given.token_kl.mean(1), itself=0.0),
    kept="lower",
    checked=("retain_val",),
    swept=("retain",),
    in_terminal=True,
)
SELF_EM = Metric(
    key="self_em",
    label="self-EM",
    unit=TOKENS,
    digits=1,
    definition="leading tokens of agreement with the base model's own greedy continuation",
    source=OfOwnText(EM, itself=int),
    kept="higher",
    swept=("retain",),
    in_terminal=True,
)
ALTERNATIVE_EM = Metric(
    key="alternative_em",
    label="EM with the alternative",
    unit=TOKENS,
    digits=1,
    definition="EM of an edit's alternatives given the original prefixes",
    source=OfAlternatives(EM),
    forgotten="higher",
    checked=("forget",),
    swept=("forget",),
)
ALTERNATIVE_NLL = Metric(
    key="alternative_nll",
    label="NLL of the alternative",
    unit=NATS,
    digits=3,
    definition="NLL of an edit's alternatives given the original prefixes",
    source=OfAlternatives(NLL),
    forgotten="lower",
    in_rows=False,
)

PERPLEXITY = Metric(
    key="perplexity",
    label="perplexity",
    unit=Unit("equally likely tokens", None, lowest=1.0),
    digits=1,
    definition="exp of the mean NLL over all continuation tokens of the set",
    source=OfMean(NLL, lambda nll: float(np.exp(np.float64(nll)))),
    forgotten="higher",
    kept="lower",
    detail=True,
)

METRICS: list[Metric] = [
    EM,
    EM_P95,
    LONGEST_RUN,
    LONGEST_COMMON_RUN,
    MEMORIZED,
    NON_MEMORIZED,
    NLL,
    KL,
    SELF_EM,
    ALTERNATIVE_EM,
    ALTERNATIVE_NLL,
    PERPLEXITY,
    *DETAILS,
]


def metrics_from(kind: type[Kind]) -> list[tuple[Metric, Kind]]:
    """The metrics whose source is of this kind, each with its source, in the order of the list."""
    return [(metric, metric.source) for metric in METRICS if isinstance(metric.source, kind)]
