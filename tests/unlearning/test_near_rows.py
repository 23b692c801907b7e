"""Near rows told apart, row by row against the longest common run; of trials each against its own paragraph."""

import pytest
import torch

from memunlearn.evaluation.suite import Measurement
from memunlearn.paragraphs.paragraph_set import ParagraphSet
from memunlearn.scoring.runs import longest_common_run
from memunlearn.scoring.score import ParagraphScores
from memunlearn.unlearning.near_rows import holds_forgotten, near_parts
from memunlearn.unlearning.outcome import Said, SetOutcome

P, C = 5, 30


def outcome(ids, first=0, trial=None, said_rows=None):
    """Of these rows; every number says which row it is of."""
    n = len(ids)
    value = torch.arange(n, dtype=torch.float64) + 100 * first
    tokens = value[:, None].float().expand(n, C)
    scores = ParagraphScores(values={"em": value, "kl": value + 0.5}, token_nll=tokens)
    measured = Measurement(torch.arange(n) + first, scores, {"self_em": value + 0.25}, trial)
    said = None
    if said_rows is not None:
        of_rows = value[said_rows]
        texts = of_rows[:, None].long().expand(-1, C)
        said = Said(
            torch.tensor(said_rows), texts, texts + 1, {"longest_common_run": of_rows}, {"longest_common_run": -of_rows}
        )
    return SetOutcome(
        paragraphs=ParagraphSet(ids, P, tuple(f"row {row}" for row in range(n))),
        index=torch.arange(n) * 2,
        before=measured,
        after=measured,
        said=said,
        trial=trial,
    )


@pytest.fixture
def forget_ids():
    return torch.arange(4 * (P + C)).reshape(4, P + C) + 1000


@pytest.fixture
def near_ids(forget_ids):
    """0 has all of forget row 0's continuation, 1 its prefix only, 2 and 3 twenty and nineteen tokens of forget row 2's
    continuation, 4 twenty that stand in forget row 3 over the end of its prefix, 5 nothing."""
    rows = torch.arange(6 * (P + C)).reshape(6, P + C) + 5000
    rows[0, P:] = forget_ids[0, P:]
    rows[1, :P] = forget_ids[0, :P]
    rows[2, P + 7 : P + 27] = forget_ids[2, P + 3 : P + 23]
    rows[3, P + 7 : P + 26] = forget_ids[2, P + 3 : P + 22]
    rows[4, P : P + 20] = forget_ids[3, P - 2 : P + 18]
    return rows


def naive(near, forget):
    return [max(int(longest_common_run(row[None, P:], other[None, P:])) for other in forget) >= 20 for row in near]


def test_a_joint_run(forget_ids, near_ids):
    sets = {"forget": outcome(forget_ids), "near": outcome(near_ids, 7)}
    assert holds_forgotten(sets).tolist() == naive(near_ids, forget_ids) == [True, False, True, False, False, False]


def test_trials_know_their_own_paragraph_only(forget_ids, near_ids):
    forget = outcome(forget_ids, trial=torch.tensor([0, 1, 2, 3]))
    trial = torch.tensor([0, 0, 1, 2, 2, 3, 3])
    rows = near_ids[[0, 1, 2, 2, 0, 4, 5]]
    found = holds_forgotten({"forget": forget, "near": outcome(rows, trial=trial)})
    assert found.tolist() == [naive(row[None], forget_ids[int(t) : int(t) + 1])[0] for row, t in zip(rows, trial, strict=True)]
    assert found.tolist() == [True, False, False, True, False, False, False]


def test_the_parts_are_the_near_rows_and_keep_what_is_known_of_each(forget_ids, near_ids):
    near = outcome(near_ids, 7, trial=torch.tensor([0, 0, 1, 1, 2, 2]), said_rows=[0, 1, 2, 4])
    sets = {"forget": outcome(forget_ids, trial=torch.tensor([0, 2, 1, 3])), "near": near}
    parts = near_parts(sets)
    assert list(parts) == ["near_forgotten", "near_other"]
    for part, rows, decoded in zip(parts.values(), ([0, 2], [1, 3, 4, 5]), ([0, 1], [0, 2]), strict=True):
        assert torch.equal(part.paragraphs.ids, near_ids[rows]) and part.index.tolist() == [2 * row for row in rows]
        assert part.trial.tolist() == near.trial[rows].tolist()
        for measured in (part.before, part.after):
            assert measured.clusters.tolist() == [7 + row for row in rows]
            assert measured.scores.values["em"].tolist() == [700.0 + row for row in rows]
            assert measured.own["self_em"].tolist() == [700.25 + row for row in rows]
        assert part.said.rows.tolist() == decoded
        told = [700.0 + rows[place] for place in decoded]
        assert part.said.values_before["longest_common_run"].tolist() == told == part.said.before[:, 0].tolist()
        assert part.said.values_after["longest_common_run"].tolist() == [-value for value in told]
        assert part.said.after[:, 0].tolist() == [value + 1 for value in told]


def test_a_part_that_is_empty_or_was_not_decoded(forget_ids, near_ids):
    sets = {"forget": outcome(forget_ids), "near": outcome(near_ids[1:2])}
    assert list(near_parts(sets)) == ["near_other"] and near_parts(sets)["near_other"].said is None
    sets["near"] = outcome(near_ids[:2], said_rows=[0])
    parts = near_parts(sets)
    assert parts["near_forgotten"].said is not None and parts["near_other"].said is None
    assert holds_forgotten({"forget": sets["forget"]}) is None and near_parts({"forget": sets["forget"]}) == {}
