"""Each kind of attempt to get texts back, in words for a reader who knows no attack, and how it ended."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from memunlearn.results.attacks.content import AttackNumbers, AttemptNumbers
from memunlearn.results.attacks.tables import setting_text
from memunlearn.results.certificate.content import Content
from memunlearn.words import counted, fixed

SUBJECTS = {
    "unlearned": "the changed model",
    "base": "the original model",
    "oracle": "a model that never saw the texts",
}


@dataclass(frozen=True)
class Kind:
    """title, and what was done, in plain words."""

    title: str
    done: str


# What someone who wants a text back would try first, in this order.
KINDS = {
    "positions": Kind(
        "Asking from other places",
        "The model was given shorter beginnings of each text, and beginnings that start later in it.",
    ),
    "sampling": Kind(
        "Asking many times",
        "The model was asked the same many times with chance in its answers, and the best answer was taken.",
    ),
    "few_shot": Kind(
        "Showing other removed texts first",
        "Before the beginning of a text the model was shown other removed texts in full, as examples of what to go on with.",
    ),
    "quantization": Kind(
        "Storing the model more coarsely",
        "The numbers that make up the model were rounded, as is done to make models smaller. A small change can be lost so.",
    ),
    "pruning": Kind("Leaving parts out", "The smallest of the numbers that make up the model were set to zero."),
    "relearning": Kind(
        "Training the model further",
        "The model was trained a little more: on some of the removed texts (the others were then asked for), on beginnings "
        "alone, or on unrelated text.",
    ),
    "partial": Kind(
        "Undoing the change in part",
        "The change was taken back step by step. Whoever can do that has the original model, and the texts with it: only the "
        "whole change counts.",
    ),
}


# Whoever can do it has the original model.
NO_ATTEMPT_OF_ITS_OWN = ("partial",)


@dataclass(frozen=True)
class Outcome:
    """How an attempt ended on one model. back of n texts came back whole; em: tokens right from the start, on average."""

    who: str
    attempts: int
    back: str
    em: str
    settings: str


@dataclass(frozen=True)
class AttackWords:
    """One kind. outcomes: a line a model; nothing: why attempts say nothing, or little."""

    title: str
    done: str
    sentence: str
    outcomes: list[Outcome]
    nothing: list[str]


def attack_words(content: Content) -> list[AttackWords]:
    """Every attack of attacks.json; those that are known here first, in the order of KINDS."""
    attacks = content.attacks or {}
    names = [name for name in KINDS if name in attacks] + [name for name in attacks if name not in KINDS]
    return [_words(name, attacks[name], content.facts.length, content.facts.noun) for name in names]


def counting(attack: AttackNumbers, subject: str) -> list[AttemptNumbers]:
    """The attempts on this model that say something, with their numbers."""
    of_subject = (attempt for attempt in attack.attempts if attempt.subject == subject)
    return [attempt for attempt in of_subject if attempt.counts and attempt.em is not None and attempt.memorized is not None]


def whole(attempt: AttemptNumbers) -> int:
    """In how many texts it came back."""
    return round((attempt.memorized or 0) * attempt.n)


def worst(attempts: Sequence[AttemptNumbers]) -> AttemptNumbers | None:
    """The attempt after which the largest share came back whole, of these the one with the highest EM; None where there is
    none."""
    return max(attempts, key=_how_bad, default=None)


def _how_bad(attempt: AttemptNumbers) -> tuple[float, float]:
    return attempt.memorized or 0, attempt.em or 0


def told_attacks(content: Content) -> dict[str, AttackNumbers]:
    """Those that a summary counts: not such as need the original model, nor such as fail on it, too."""
    attacks = content.attacks or {}
    return {name: attack for name, attack in attacks.items() if name not in NO_ATTEMPT_OF_ITS_OWN and not fails_on_base(attack)}


def title(name: str) -> str:
    return KINDS[name].title if name in KINDS else name


def worst_of_all(content: Content) -> tuple[str, AttemptNumbers] | None:
    """The attack, and its attempt on the unlearned model, that brought most texts back; None where no attempt counts."""
    found = {name: worst(counting(attack, "unlearned")) for name, attack in told_attacks(content).items()}
    there = {name: attempt for name, attempt in found.items() if attempt is not None}
    if not there:
        return None
    name = max(there, key=lambda one: _how_bad(there[one]))
    return name, there[name]


def _words(name: str, attack: AttackNumbers, length: int, noun: str) -> AttackWords:
    outcomes = []
    for subject in dict.fromkeys([*SUBJECTS, *(attempt.subject for attempt in attack.attempts)]):
        attempts = counting(attack, subject)
        if (found := worst(attempts)) is not None:
            back = f"{whole(found)} of {found.n if found.rows in (None, found.n) else found.measured(noun)}"
            em = f"{fixed(found.em or 0, 1)} of {length}"
            who = SUBJECTS.get(subject, subject)
            outcomes.append(Outcome(who, len(attempts), back, em, setting_text(found.settings)))
    silent = [attempt for attempt in attack.attempts if not attempt.counts and attempt.subject == "unlearned"]
    notes = list(dict.fromkeys(attempt.note for attempt in silent if attempt.note))
    nothing = [f"{_saying_nothing(sum(a.note == note for a in silent))}: {note}." for note in notes]
    if fails_on_base(attack):
        nothing.append(
            "It brought no text back from the original model either, which recites them: that it brings none back from the "
            "changed model says little."
        )
    kind = KINDS.get(name, Kind(name, attack.protocol))
    return AttackWords(kind.title, kind.done, attack.sentence, outcomes, nothing)


def fails_on_base(attack: AttackNumbers) -> bool:
    found = worst(counting(attack, "base"))
    return found is not None and whole(found) == 0


def _saying_nothing(count: int) -> str:
    return f"{counted(count, 'attempt')} on the changed model {'says' if count == 1 else 'say'} nothing"
