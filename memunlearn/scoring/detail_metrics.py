"""The part of the list of metrics that only reported sets are measured by."""

from __future__ import annotations

import math

from memunlearn.scoring.likelihood import mean_of_lowest, nll_per_byte
from memunlearn.scoring.metric import (
    SHARE,
    FromPass,
    FromPassAndBase,
    FromPassAndSampling,
    FromText,
    FromTextSize,
    Metric,
    ShareOfRows,
    Unit,
)
from memunlearn.scoring.runs import leading_run
from memunlearn.scoring.said_texts import ALIKE, distinct_grams, similarity
from memunlearn.scoring.sampling import Extractable

P_OF_EXTRACTION = (0.1, 0.5, 0.9)
SAMPLES = (1, 10, 1_000, 1_000_000)


def share_of(what: str) -> Unit:
    return Unit(f"% of {what}", lambda _: 1.0, scale=100.0)


LOG_P = Unit("nats per token", lambda _: 0.0, lowest=-math.inf)

EXTRACTION_STRENGTH = Metric(
    key="extraction_strength",
    label="extraction strength",
    unit=share_of("tokens"),
    digits=1,
    definition="right tokens in a row at the continuation's end, over C: what the shortest prefix that suffices gives",
    source=FromPass(lambda given: leading_run(given.hits.flip(1)).double() / given.hits.shape[1]),
    forgotten="lower",
    kept="higher",
    detail=True,
)
MEMORIZATION_ACCURACY = Metric(
    key="memorization_accuracy",
    label="memorization accuracy",
    unit=share_of("tokens"),
    digits=1,
    definition="continuation tokens that are the most likely one, all tokens before each being true",
    source=FromPass(lambda given: given.hits.double().mean(1)),
    forgotten="lower",
    kept="higher",
    detail=True,
)
MIN_K = Metric(
    key="min_k",
    label="min-k",
    unit=LOG_P,
    digits=3,
    definition="mean of the lowest 20 % of the continuation's log p(true token)",
    source=FromPass(lambda given: mean_of_lowest(given.token_log_p)),
    forgotten="lower",
    kept="higher",
    detail=True,
)
MIN_K_PP = Metric(
    key="min_k_pp",
    label="min-k++",
    unit=Unit("standard deviations", None, lowest=-math.inf),
    digits=3,
    definition="mean of the lowest 20 % of (log p(true token) - mu) / sigma, of log p of tokens that the model draws itself",
    source=FromPass(lambda given: mean_of_lowest(given.token_z)),
    detail=True,
)
ZLIB = Metric(
    key="zlib",
    label="zlib",
    unit=Unit("nats per byte", None),
    digits=3,
    definition="summed NLL of the continuation over the bytes of its text, compressed by zlib (needs the tokenizer)",
    source=FromTextSize(nll_per_byte),
    forgotten="higher",
    kept="lower",
    detail=True,
)
TOP1_AGREEMENT = Metric(
    key="top1_agreement",
    label="top-1 agreement",
    unit=share_of("tokens"),
    digits=1,
    definition="positions at which the most likely token is the base model's",
    source=FromPassAndBase(lambda given: given.agrees.double().mean(1), itself=1.0),
    kept="higher",
    detail=True,
)
NDCG10 = Metric(
    key="ndcg10",
    label="top-10 nDCG",
    unit=Unit("of 1", lambda _: 1.0),
    digits=3,
    definition="how alike the ten most likely tokens are ranked, each worth what the base model gives it: 1 for the base model",
    source=FromPassAndBase(lambda given: given.token_ndcg.mean(1), itself=1.0),
    kept="higher",
    detail=True,
)
LEVENSHTEIN = Metric(
    key="levenshtein",
    label="similarity of what is said",
    unit=share_of("tokens"),
    digits=1,
    definition="1 - edit distance / C, in tokens, of what the model says from the original continuation",
    source=FromText(similarity),
    forgotten="lower",
    kept="higher",
    detail=True,
)
APPROXIMATE_MATCH = Metric(
    key="approximate_match",
    label="approximate match",
    unit=SHARE,
    digits=1,
    definition="rows whose similarity of what is said is 75 % or more",
    source=ShareOfRows(LEVENSHTEIN, lambda values, _: values >= ALIKE),
    forgotten="lower",
    kept="higher",
    detail=True,
)
DISTINCT = Metric(
    key="distinct",
    label="distinct n-grams",
    unit=share_of("n-grams"),
    digits=1,
    definition="different n-grams of what the model says, averaged over n = 1..4: low where it repeats itself",
    source=FromText(lambda said, _: distinct_grams(said)),
    detail=True,
)
LOG_P_Z = Metric(
    key="log_p_z",
    label="log p_z",
    unit=Unit("nats", lambda _: 0.0, lowest=-math.inf),
    digits=2,
    definition="log of the probability that sampling says the whole continuation, where it is asked for; null where that is 0",
    source=FromPassAndSampling(lambda given: given.token_log_q.sum(1)),
    forgotten="lower",
    kept="higher",
    detail=True,
)


def extraction(p: float, n: int) -> Metric:
    """The share of rows that n samples or fewer say with probability p: (n, p)-discoverable extraction (arXiv 2410.19482)."""
    samples = "1 sample says" if n == 1 else f"{n:,} samples or fewer say"
    return Metric(
        key=f"extraction_p{round(100 * p)}_n{n}",
        label=f"said by {n:,} with p {p:g}",
        unit=SHARE,
        digits=1,
        definition=f"rows that {samples} with probability {p:g}, where p_z is asked for",
        source=ShareOfRows(LOG_P_Z, Extractable(n, p)),
        forgotten="lower",
        kept="higher",
        detail=True,
    )


DETAILS: list[Metric] = [
    EXTRACTION_STRENGTH,
    MEMORIZATION_ACCURACY,
    MIN_K,
    MIN_K_PP,
    ZLIB,
    TOP1_AGREEMENT,
    NDCG10,
    LEVENSHTEIN,
    APPROXIMATE_MATCH,
    DISTINCT,
    LOG_P_Z,
    *(extraction(p, n) for p in P_OF_EXTRACTION for n in SAMPLES),
]
