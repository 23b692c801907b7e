"""`python train.py experiment=frontier`: a sweep in rounds, each of which is chosen by what the one before has found.

Tuning: every method at every strength. Masks: the best methods on fewer weights. Confirmation: the best of all, and what they
are compared with, on seeds that nothing was chosen by. Jobs that are finished are not done again.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.plugins import Plugins
from hydra.plugins.launcher import Launcher
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf

from memunlearn.errors import UserError
from memunlearn.sweeps.frontier.plan import CONFIRMATION, MASKS, ROUNDS, TUNING, Candidate, Plan, PlannedJob, Target, write_plan
from memunlearn.words import counted, duration

if TYPE_CHECKING:
    from memunlearn.commands.frontier.settings import FrontierSettings
    from memunlearn.sweeps.frontier.read import JobReading
    from memunlearn.sweeps.frontier.summary import Summary

# Hydra takes sweepers from packages of this name only.
NAME = "hydra_plugins.memunlearn.FrontierSweeper"


class FrontierSweeper(Sweeper):
    """settings: those of `FrontierSettings`. A job that fails leaves the others alone."""

    def __init__(self, **settings: Any) -> None:
        self.given = {
            name: OmegaConf.to_container(value) if OmegaConf.is_config(value) else value for name, value in settings.items()
        }

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        self.context = hydra_context
        self.config: DictConfig = config
        self.sweep_dir = Path(str(config.hydra.sweep.dir))
        self.launcher: Launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )

    def sweep(self, arguments: list[str]) -> None:
        from memunlearn.commands.frontier.rounds import number_of_jobs, references, with_masks
        from memunlearn.commands.frontier.settings import checked
        from memunlearn.reporting.sweep_summary import write_summary

        settings = checked(self.given)
        self.arguments = self._checked(arguments)
        self.launched, self.estimated = 0, False
        found: list[Summary] = []
        if settings.best_of is None:
            first, seeds = self._tuned(settings), settings.tuning_seeds
            self.left = number_of_jobs(settings)
        else:
            found = self._found_elsewhere(settings)
            first, seeds = [*_best(found, settings.best_confirmed), *references(settings)], settings.confirmation_seeds
            self.left = {CONFIRMATION: len(first) * len(seeds)}
        self._check_heard(first)
        self._check_jobs(settings, first)
        print(f"frontier: {self._jobs_in_words()}", flush=True)
        if settings.dry_run:
            return self._show(first, seeds)
        self.plan = Plan(
            jobs=(),
            later=self.left,
            targets=tuple(Target(target.forget_em, target.longest_run) for target in settings.targets),
            disruptions=settings.disruptions,
            references=tuple(settings.references),
        )
        self.sweep_dir.mkdir(parents=True, exist_ok=True)
        if settings.best_of is None:
            found = self._round(TUNING, first, settings.tuning_seeds)
            masked = [one for one in found if one.candidate.method not in settings.own_weights]
            best = _best(masked, settings.best_with_masks)
            found = [*found, *self._round(MASKS, with_masks(settings, best), settings.tuning_seeds)]
            first = [*_best(found, settings.best_confirmed), *references(settings)]
        self._round(CONFIRMATION, first, settings.confirmation_seeds)
        for path in write_summary(self.sweep_dir):
            print(f"wrote {path}")

    def _checked(self, arguments: Sequence[str]) -> tuple[str, ...]:
        if self.config.get("overwrite"):
            raise UserError(
                "overwrite=true: a frontier goes on with what is finished: leave it out, or give another hydra.sweep.dir"
            )
        if self.config.get("resume"):
            raise UserError(
                "resume=true is for a single run: a frontier goes on with hydra.sweep.dir=DIR, which skips finished jobs; "
                "leave it out"
            )
        parser = OverridesParser.create(config_loader=self.context.config_loader)
        for override in parser.parse_overrides(list(arguments)):
            if override.is_sweep_override():
                raise UserError(
                    f"{override.input_line}: a frontier chooses its jobs itself: give one value, or another list of "
                    "hydra.sweeper.methods, factors, masks or tuning_seeds"
                )
            if override.get_key_element() == "seed":
                raise UserError(
                    f"{override.input_line}: give hydra.sweeper.tuning_seeds and hydra.sweeper.confirmation_seeds instead"
                )
        return tuple(arguments)

    def _tuned(self, settings: FrontierSettings) -> list[Candidate]:
        from memunlearn.commands.frontier.rounds import WEIGHT, method_overrides, tuned

        weights = {}
        for method, overrides in method_overrides(settings).items():
            weight = OmegaConf.select(self._composed(overrides), WEIGHT)
            weights[method] = None if weight is None else float(weight)
        return tuned(settings, weights)

    def _found_elsewhere(self, settings: FrontierSettings) -> list[Summary]:
        from memunlearn.sweeps.frontier.plan import read_plan
        from memunlearn.sweeps.frontier.read import read_job
        from memunlearn.sweeps.frontier.summary import summaries

        folder = Path(str(settings.best_of)).expanduser()
        if folder.resolve() == self.sweep_dir.resolve():
            raise UserError(
                f"hydra.sweeper.best_of={settings.best_of} is hydra.sweep.dir, too: give this frontier another folder"
            )
        plan = read_plan(folder)
        found = summaries(plan, [read_job(folder, job) for job in plan.jobs if job.round != CONFIRMATION])
        if not found and not plan.later:
            raise UserError(
                f"hydra.sweeper.best_of={settings.best_of} has tuned no method: name the folder of a frontier that has"
            )
        if not found or MASKS in plan.later or not all(summary.has_ended for summary in found):
            raise UserError(
                f"hydra.sweeper.best_of={settings.best_of}: its methods are not all tuned yet: go on there first, with "
                f"hydra.sweep.dir={folder}"
            )
        return found

    def _check_heard(self, first: Sequence[Candidate]) -> None:
        """Refuses a setting of the command line in whose place every candidate has its own."""
        from memunlearn.commands.frontier.rounds import WEIGHT

        for given in self.arguments:
            key = given.partition("=")[0]
            own = [{one for one in candidate.overrides if one.partition("=")[0] == key} for candidate in first]
            if key != WEIGHT and first and all(found and found != {given} for found in own):
                raise UserError(
                    f"{given}: every method of this frontier has a {key} of its own ({min(own[0])}): leave it out, or change "
                    "hydra.sweeper.weights or methods"
                )

    def _check_jobs(self, settings: FrontierSettings, first: Sequence[Candidate]) -> None:
        """Whatever a job would refuse before its work, those of later rounds too."""
        from memunlearn.commands.call import Call
        from memunlearn.commands.frontier.rounds import references, with_masks
        from memunlearn.commands.inputs import quiet_libraries
        from memunlearn.commands.run_checks import check_run

        quiet_libraries()
        masked = [one for one in first if one.method not in settings.own_weights][:1]
        for candidate in [*first, *with_masks(settings, masked), *references(settings)]:
            config = self._composed(candidate.overrides)
            try:
                check_run(OmegaConf.masked_copy(config, [str(key) for key in config if key != "hydra"]), Call(command="train"))
            except UserError as error:
                raise UserError(f"{candidate.label} of this frontier: {error}") from error

    def _composed(self, overrides: Sequence[str]) -> DictConfig:
        from memunlearn.commands.frontier.rounds import merged

        return self.context.config_loader.load_sweep_config(self.config, list(merged(self.arguments, overrides)))

    def _jobs_in_words(self) -> str:
        rounds = [f"{counted(self.left[name], 'job')} of {name}" for name in ROUNDS if name in self.left]
        return f"{', then '.join(rounds)}; {counted(sum(self.left.values()), 'job')} in all"

    def _show(self, candidates: Sequence[Candidate], seeds: Sequence[int]) -> None:
        """The jobs of the first round; the folder that was made for the sweep goes, if it is empty."""
        for candidate in candidates:
            for seed in seeds:
                print(f"  {' '.join(candidate.overrides)} seed={seed}")
        print("dry run: nothing was done; without hydra.sweeper.dry_run=true these jobs run")
        with contextlib.suppress(OSError):
            self.sweep_dir.rmdir()

    def _round(self, name: str, candidates: Sequence[Candidate], seeds: Sequence[int]) -> list[Summary]:
        """Runs the jobs of a round that are not finished, and reads all."""
        from memunlearn.commands.frontier.rounds import merged
        from memunlearn.commands.sweep_launcher import compose_job
        from memunlearn.sweeps.frontier.summary import summaries

        jobs: list[PlannedJob] = []
        overrides: dict[str, Sequence[str]] = {}
        for candidate in candidates:
            for seed in seeds:
                given = merged(self.arguments, candidate.overrides, [f"seed={seed}"])
                job = compose_job(self.context, self.config, len(self.plan.jobs) + len(jobs), given)
                jobs.append(PlannedJob(round=name, candidate=candidate, seed=seed, folder=job.folder.name))
                overrides[job.folder.name] = given
        self.left = {later: count for later, count in self.left.items() if ROUNDS.index(later) > ROUNDS.index(name)}
        self.plan = replace(self.plan, jobs=(*self.plan.jobs, *jobs), later=self.left)
        write_plan(self.sweep_dir, self.plan)
        readings = sorted(filter(_is_to_run, self._read(jobs)), key=_only_says_so)
        to_run = [reading.job.folder for reading in readings]
        print(f"{name}: {counted(len(jobs), 'job')}, {len(jobs) - len(to_run)} of them done already", flush=True)
        if to_run and not self.estimated and not _only_says_so(readings[0]):
            # Not one that another process is at work on: all others would have to wait for it.
            first = next((folder for folder in to_run if _is_free(self.sweep_dir / folder)), to_run[0])
            to_run.remove(first)
            started = time.perf_counter()
            self._launch([overrides[first]])
            self._estimate(time.perf_counter() - started, len(to_run))
            self.estimated = True
        if to_run:
            self._launch([overrides[folder] for folder in to_run])
        return summaries(self.plan, self._read(jobs))

    def _launch(self, jobs: Sequence[Sequence[str]]) -> None:
        # As Hydra's own sweeper does; passwords in it are hidden when the first job starts.
        OmegaConf.save(self.config, self.sweep_dir / "multirun.yaml")
        self.launcher.launch(jobs, initial_job_idx=self.launched)
        self.launched += len(jobs)

    def _estimate(self, seconds: float, left: int) -> None:
        others = left + sum(self.left.values())
        print(
            f"the first job took {duration(seconds)}: about {duration(seconds * others)} for the other {others:,}, one after "
            "the other; some methods are slower than others",
            flush=True,
        )

    def _read(self, jobs: Sequence[PlannedJob]) -> list[JobReading]:
        from memunlearn.sweeps.frontier.read import read_job

        return [read_job(self.sweep_dir, job) for job in jobs]


def register() -> None:
    """Makes it known to Hydra under NAME."""
    Plugins.instance().class_name_to_class[NAME] = FrontierSweeper


def _best(found: Sequence[Summary], count: int) -> list[Candidate]:
    from memunlearn.sweeps.frontier.choose import best_of_methods

    return [summary.candidate for summary in best_of_methods(found, count)]


def _is_free(folder: Path) -> bool:
    from memunlearn.commands.claims import hold, let_go

    free = hold(folder)
    if free:
        let_go(folder)
    return free


def _is_to_run(reading: JobReading) -> bool:
    return reading.state != "finished" or _only_says_so(reading)


def _only_says_so(reading: JobReading) -> bool:
    """A run that diverged is finished, and has failed: it says so again, in no time."""
    return reading.state == "finished" and reading.stopped_because == "nan"
