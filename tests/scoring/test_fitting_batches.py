"""Batches that do not fit are halved: every row once, in order, with the same scores; what is said; what is raised."""

import pytest
import tiny_architectures as tiny
import torch

from memunlearn.paragraphs.paragraph_set import ParagraphSet
from memunlearn.scoring import score as scoring
from memunlearn.scoring.fitting_batches import FittingBatches
from memunlearn.scoring.score import reference_states, score


class Small:
    """Memory for so many rows."""

    def __init__(self, room, error=torch.OutOfMemoryError):
        self.room, self.error, self.tried = room, error, []

    def __call__(self, rows):
        self.tried.append(len(rows))
        if len(rows) > self.room:
            raise self.error("CUDA out of memory. Tried to allocate")
        return rows.tolist()


@pytest.mark.parametrize(("room", "tried"), [(7, [7]), (3, [7, 3, 3, 1]), (2, [7, 3, 1, 1, 1, 1, 1, 1, 1])])
def test_every_row_once_and_in_order(room, tried, capsys):
    memory = Small(room)
    given = FittingBatches(7).read(torch.arange(10, 17), memory)
    assert [row for rows in given for row in rows] == list(range(10, 17)) and memory.tried == tried
    said = capsys.readouterr().out.splitlines()
    halved = [(a, b) for a, b in [(7, 3), (3, 1)] if a > room]
    assert said == [f"out of memory with {a} rows a pass: going on with {b}" for a, b in halved]


def test_what_was_found_out_holds_for_the_next_batch():
    memory, fitting = Small(3), FittingBatches(8)
    fitting.read(torch.arange(8), memory)
    fitting.read(torch.arange(8), memory)
    assert memory.tried == [8, 4, 2, 2, 2, 2, 2, 2, 2, 2]


def test_a_row_that_does_not_fit_alone_and_other_errors_are_raised():
    with pytest.raises(torch.OutOfMemoryError):
        FittingBatches(4).read(torch.arange(4), Small(0))
    memory = Small(0, ValueError)
    with pytest.raises(ValueError, match="allocate"):
        FittingBatches(4).read(torch.arange(4), memory)
    assert memory.tried == [4]


def test_scores_and_states_are_those_of_smaller_batches(monkeypatch, capsys):
    model, rows = tiny.tiny_model("gpt_neo"), ParagraphSet(tiny.some_ids(3, 10, 11), 5, tuple("abcdefghij"))
    expected, expected_states = reference_states(model, rows, batch_size=2)
    plain = scoring.continuation_logits

    def small(model, ids, length):
        if len(ids) > 3:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return plain(model, ids, length)

    monkeypatch.setattr(scoring, "continuation_logits", small)
    found, states = reference_states(model, rows, batch_size=8)
    assert "out of memory with 8 rows a pass: going on with 4" in capsys.readouterr().out
    assert torch.equal(states.hidden, expected_states.hidden)
    for name, values in expected.tensors().items():
        assert torch.equal(found.tensors()[name], values), name
    assert torch.equal(score(model, rows, batch_size=8).em, expected.em)


@pytest.mark.parametrize("number", [0, 1])
def test_a_batch_that_was_halved_is_still_one_among_those_of_several_processes(monkeypatch, number):
    """They are put in order by their number: the other process may have had room for the whole of its batch."""
    model, rows = tiny.tiny_model("gpt_neo"), ParagraphSet(tiny.some_ids(3, 10, 11), 5, tuple("abcdefghij"))
    batches = torch.arange(10).split(4)[number::2]
    expected = [score(model, rows.select(batch)) for batch in batches]
    plain, shared = scoring.continuation_logits, []

    def small(model, ids, length):
        if len(ids) > 3:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return plain(model, ids, length)

    def gathered(parts):
        shared.extend(parts)
        return parts

    monkeypatch.setattr(scoring, "continuation_logits", small)
    monkeypatch.setattr(scoring.several_processes, "count", lambda: 2)
    monkeypatch.setattr(scoring.several_processes, "number", lambda: number)
    monkeypatch.setattr(scoring.several_processes, "gathered", gathered)
    score(model, rows, batch_size=4)
    assert [part.em.tolist() for part in shared] == [part.em.tolist() for part in expected]
    for part, other in zip(shared, expected, strict=True):
        torch.testing.assert_close(part.token_nll, other.token_nll)
