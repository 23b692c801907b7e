"""Every attack on every model."""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from memunlearn.attacks.attempt import Attempt
from memunlearn.attacks.material import Attack, Subject, SubjectName, Target


@dataclass(frozen=True, eq=False)
class Attacked:
    """What one attack brought on one model. seconds: what it took."""

    attack: str
    subject: SubjectName
    attempts: Sequence[Attempt]
    seconds: float


Known = Callable[[str, SubjectName], Attacked | None]
Keep = Callable[[Attacked], None]


def run_attacks(
    attacks: Mapping[str, Attack], subjects: Sequence[Subject], target: Target, *, known: Known, keep: Keep
) -> list[Attacked]:
    """The attacks by name, each on each model, in order.

    known: what was done before, which is not done again. keep: called with each that is done, at once, so that an end in the
    middle loses no more than one.
    """
    done = []
    for number, (name, attack) in enumerate(attacks.items(), start=1):
        for subject in subjects:
            attacked = known(name, subject.name)
            if attacked is None:
                print(f"attack {number} of {len(attacks)}: {name}, on the {subject.name} model", flush=True)
                started = time.perf_counter()
                attempts = attack(subject, target)
                attacked = Attacked(name, subject.name, attempts, time.perf_counter() - started)
                keep(attacked)
            else:
                print(f"attack {number} of {len(attacks)}: {name}, on the {subject.name} model: done already", flush=True)
            done.append(attacked)
    return done


def protocol_of(attack: Attack) -> str:
    """The first paragraph of its docstring, on one line."""
    paragraph = (inspect.getdoc(type(attack)) or "").split("\n\n")[0]
    return " ".join(paragraph.split())
