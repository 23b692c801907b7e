"""`frontier.json`: which jobs a frontier has, what each is for, and which folder it has; written before the jobs run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from memunlearn.errors import UserError
from memunlearn.files.reading import read_json
from memunlearn.files.writing import write_json

PLAN = "frontier.json"
TUNING, MASKS, CONFIRMATION = "tuning", "masks", "confirmation"
ROUNDS = (TUNING, MASKS, CONFIRMATION)


@dataclass(frozen=True)
class Candidate:
    """What may win: a method, at one strength, on one choice of weights.

    strength, mask: names, empty where the method has its own. overrides: of the command line, without the seed.
    """

    method: str
    strength: str
    mask: str
    overrides: tuple[str, ...]

    @property
    def label(self) -> str:
        """`undial (forget_weight=0.3, all)`."""
        of = ", ".join(filter(None, (self.strength, self.mask)))
        return f"{self.method} ({of})" if of else self.method


@dataclass(frozen=True)
class Target:
    """What counts as forgotten, means over the forget set in tokens: EM and longest run at most these."""

    forget_em: float
    longest_run: float

    @property
    def text(self) -> str:
        return f"forget EM at most {self.forget_em:g} and longest run at most {self.longest_run:g}"

    @property
    def short(self) -> str:
        return f"EM {self.forget_em:g}, run {self.longest_run:g}"


@dataclass(frozen=True)
class PlannedJob:
    """round: one of ROUNDS. folder: its name in the sweep."""

    round: str
    candidate: Candidate
    seed: int
    folder: str


@dataclass(frozen=True)
class Plan:
    """jobs: of the rounds that have begun. later: how many there will be in each round that has not.

    disruptions: levels of retain KL, nats per token. references: methods that are confirmed to be compared with.
    """

    jobs: tuple[PlannedJob, ...]
    later: Mapping[str, int]
    targets: tuple[Target, ...]
    disruptions: tuple[float, ...]
    references: tuple[str, ...] = ()


def write_plan(sweep: Path, plan: Plan) -> None:
    write_json(sweep / PLAN, {"schema": 1, **asdict(plan)})


def read_plan(sweep: Path) -> Plan:
    """Raises UserError where the file is missing or damaged."""
    remedy = "name the folder of a sweep with experiment=frontier"
    data = read_json(sweep / PLAN, remedy)
    try:
        return _plan(data)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UserError(f"{sweep / PLAN} is damaged ({error!r}): run the same command again, which writes it anew") from error


def candidates_of(jobs: Sequence[PlannedJob]) -> list[Candidate]:
    """Each once, in the order of their first jobs."""
    return list(dict.fromkeys(job.candidate for job in jobs))


def _plan(data: Mapping[str, Any]) -> Plan:
    return Plan(
        jobs=tuple(_job(job) for job in data["jobs"]),
        later={str(name): int(count) for name, count in data["later"].items()},
        targets=tuple(Target(float(target["forget_em"]), float(target["longest_run"])) for target in data["targets"]),
        disruptions=tuple(map(float, data["disruptions"])),
        references=tuple(map(str, data["references"])),
    )


def _job(data: Mapping[str, Any]) -> PlannedJob:
    if data["round"] not in ROUNDS:
        raise ValueError(f"round {data['round']}")
    if Path(data["folder"]).name != data["folder"]:
        raise ValueError(f"folder {data['folder']}")
    named = data["candidate"]
    overrides = tuple(str(override) for override in named["overrides"])
    candidate = Candidate(str(named["method"]), str(named["strength"]), str(named["mask"]), overrides)
    return PlannedJob(data["round"], candidate, int(data["seed"]), data["folder"])
