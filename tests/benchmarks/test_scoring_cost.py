"""The ways of scoring that are compared, and how: in turns, by round."""

import tiny_architectures as tiny
import torch

from benchmarks import scoring
from memunlearn.paragraphs.paragraph_set import ParagraphSet
from memunlearn.scoring.score import ParagraphScores


def test_the_ways_score_what_their_names_say():
    model, rows = tiny.tiny_model("gpt_neo"), ParagraphSet(tiny.some_ids(3, 5, 9), 4, tuple("abcde"))
    found = {name: way() for name, way in scoring.ways(model, rows, 2).items()}
    assert next(iter(found)) == scoring.ALONE and found.pop(scoring.ALONE) is None
    keys = [set(scores.values) for scores in found.values() if isinstance(scores, ParagraphScores)]
    assert keys[0] == {"em", "longest_run", "nll", "kl"}
    assert keys[0] < keys[1] and keys[2] - keys[1] == {"log_p_z"} and len(keys) == 3


def test_the_four_alone_are_computed_for_every_row(monkeypatch):
    seen = {}

    def watched(name, real):
        def compute(*given):
            seen.setdefault(name, []).append(real(*given))
            return seen[name][-1]

        return compute

    for name in ("token_hits", "token_nll", "token_kl"):
        monkeypatch.setattr(scoring, name, watched(name, getattr(scoring, name)))
    model, rows = tiny.tiny_model("gpt_neo"), ParagraphSet(tiny.some_ids(3, 5, 9), 4, tuple("abcde"))
    scoring.ways(model, rows, 2)[scoring.ALONE]()
    assert {name: sum(map(len, values)) for name, values in seen.items()} == {"token_hits": 5, "token_nll": 5, "token_kl": 5}
    assert torch.cat(seen["token_kl"]).abs().max() < 1e-5 < torch.cat(seen["token_nll"]).min()


def test_a_line_says_the_median_and_the_quartiles():
    assert scoring.line("b", [1.0, 1.5, 2.0]).split() == ["b", "1.50", "1.00", "to", "2.00"]


def test_the_random_model_is_the_same_each_time():
    first, second = (scoring.random_model(1, 16) for _ in range(2))
    weights = zip(first.parameters(), second.parameters(), strict=True)
    assert first.config.vocab_size == 50257 and all(torch.equal(one, other) for one, other in weights)
