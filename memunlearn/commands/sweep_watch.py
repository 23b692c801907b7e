"""Watches the jobs of a sweep: records why one failed, and keeps the sweep's summary up to date.

Hydra itself goes on after a failure and raises the first, at the very end; its on_multirun_end is not called then.
"""

from __future__ import annotations

import contextlib
import sys
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.utils import JobReturn, JobStatus
from hydra.experimental.callback import Callback
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from memunlearn.commands import resolvers
from memunlearn.commands.mistakes import mistake
from memunlearn.commands.sweep_folder import ERROR, EVALUATION, LOCALIZATION, RESULT
from memunlearn.errors import UserError
from memunlearn.files.reading import read_json
from memunlearn.files.writing import write_json, write_text
from memunlearn.passwords import hide_passwords, without_passwords
from memunlearn.words import counted

resolvers.register()  # a launcher's worker process imports no script, only this callback

Marks = dict[Path, tuple[int, int]]


@dataclass(frozen=True)
class Failure:
    """A job that failed. overrides: those that are not the same for the whole sweep. mistake: whether the user can mend it."""

    folder: Path
    error: str
    overrides: Sequence[str]
    mistake: bool


class WatchJobs(Callback):
    """on_job_end: `job 3 failed: WHY` on stderr and error.json in the job's folder (gone when it later succeeds); then the
    summary, if `summary` is on. A run by itself is left to `run_app`."""

    def __init__(self, summary: bool = False) -> None:
        self.summary = summary
        self.sweep: Path | None = None
        self.common: set[str] = set()
        self.before: Marks = {}
        self.summarized: Marks | None = None
        self.written: Sequence[Path] = ()
        self.project: str | None = None

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        global _watching
        self.sweep = Path(config.hydra.sweep.dir)
        given = OverridesParser.create().parse_overrides(_overrides(config))
        self.common = {override.get_key_element() for override in given if not override.is_sweep_override()}
        self.before = marks(self.sweep)
        if config.get("logger") and _is_wandb(config.logger):
            self.project = str(config.logger.project)
        _watching = self

    def on_job_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Hydra has just written what it composed, and the command line, as they are."""
        places = [Path(config.hydra.runtime.output_dir) / str(config.hydra.output_subdir)]
        if config.hydra.mode == RunMode.MULTIRUN:
            places.append(Path(config.hydra.sweep.dir))
        for path in [path for place in places for path in sorted(place.glob("*.yaml"))]:
            text = path.read_text("utf-8")
            if (hidden := without_passwords(text)) != text:
                write_text(path, hidden)

    def on_job_end(self, config: DictConfig, job_return: JobReturn, **kwargs: Any) -> None:
        folder, in_sweep = Path(config.hydra.runtime.output_dir), config.hydra.mode == RunMode.MULTIRUN
        job_return.overrides = hide_passwords(job_return.overrides)  # Hydra prints them where the job has failed
        if job_return.status == JobStatus.COMPLETED and (in_sweep or (folder / RESULT).is_file()):
            (folder / ERROR).unlink(missing_ok=True)  # also when a sweep's job was resumed by itself
        if not in_sweep:
            return
        if job_return.status == JobStatus.FAILED:
            record_failure(folder, config, job_return._return_value)
        self.refresh(Path(config.hydra.sweep.dir))

    def refresh(self, sweep: Path) -> None:
        """Writes the summary, if a result or an error is new since it was last written here."""
        now = marks(sweep)
        if not self.summary or now == self.summarized:
            return
        try:
            from memunlearn.reporting.sweep_summary import write_summary

            self.written = write_summary(sweep)
            self.summarized = now
        except Exception as error:  # Hydra would make it a warning that does not say what is at stake
            print(f"warning: the summary of {sweep} was not written: {error!r}", file=sys.stderr, flush=True)

    def track(self, sweep: Path) -> None:
        """The summary as a W&B run of its own, where the jobs were W&B runs."""
        if self.project is None or not self.written:
            return
        from memunlearn.commands.tracking import track_summary

        try:
            track_summary(sweep, self.written, self.project)
        except UserError as error:  # the jobs are done and their results are there
            print(f"warning: the summary of {sweep} did not reach W&B: {error}", file=sys.stderr, flush=True)

    def failures(self, sweep: Path) -> list[Failure]:
        """Of the jobs that this call of the sweep has run, here or in other processes."""
        new = [path for path, mark in marks(sweep).items() if path.name == ERROR and self.before.get(path) != mark]
        return [self._failure(path) for path in sorted(new, key=lambda path: (len(path.parent.name), path))]

    def _failure(self, path: Path) -> Failure:
        try:
            said = read_json(path, "see what the job has printed")
        except UserError as error:  # the job has failed, whatever has become of what it said
            return Failure(path.parent, str(error), (), False)
        overrides = said.get("overrides")
        texts = [str(override) for override in overrides] if isinstance(overrides, list) else []
        own = [override for override in texts if override.partition("=")[0] not in self.common]
        return Failure(path.parent, str(said.get("error")), own, bool(said.get("mistake")))


_watching: WatchJobs | None = None


def forget_sweep() -> None:
    """At the start of a command, in case an earlier one in this process was interrupted."""
    global _watching
    _watching = None


def end_sweep() -> list[Failure]:
    """At the end of a command: the last summary, and the jobs that failed; none if it was no sweep."""
    if _watching is None or _watching.sweep is None:
        return []
    watch, sweep = _watching, _watching.sweep
    forget_sweep()
    if marks(sweep) != watch.before:
        watch.refresh(sweep)
        watch.track(sweep)
    return watch.failures(sweep)


def closing_lines(failures: Sequence[Failure]) -> str:
    jobs = counted(len(failures), "job")
    sweep = failures[0].folder.parent
    lines = [f"{jobs} of the sweep failed:"]
    for failure in failures:
        lines.append(f"  {failure.folder.name} ({' '.join(failure.overrides)}): {failure.error}")
    again = f"run the same command again with hydra.sweep.dir={sweep}: finished jobs are skipped"
    return "\n".join([*lines, f"error: {jobs} failed, see above and {ERROR} in their folders; mend that and {again}"])


def _is_wandb(logger: DictConfig) -> bool:
    from memunlearn.commands.tracking import is_wandb  # here, since it takes seconds, and most sweeps have no logger

    return is_wandb(logger)


def record_failure(folder: Path, config: DictConfig, error: BaseException) -> None:
    """Says on stderr why the job of this config failed, and keeps it in the job's folder."""
    line = mistake(error)
    told = without_passwords(line or repr(error))
    print(f"job {config.hydra.job.num} failed: {told}", file=sys.stderr, flush=True)
    if line is None:
        print(without_passwords("".join(traceback.format_exception(error))), end="", file=sys.stderr, flush=True)
    settings = OmegaConf.masked_copy(config, [str(key) for key in config if key != "hydra"])
    try:
        resolved = OmegaConf.to_container(settings, resolve=True)
    except OmegaConfBaseException:
        resolved = None
    write_json(
        folder / ERROR,
        {
            "schema": 1,
            "error": told,
            "type": type(error).__name__,
            "mistake": line is not None,
            "overrides": hide_passwords(_overrides(config)),
            "config": hide_passwords(resolved),
            "traceback": without_passwords("".join(traceback.format_exception(error))),
        },
    )


def _overrides(config: DictConfig) -> list[str]:
    """As they were given: one may be an interpolation that leads nowhere."""
    overrides = OmegaConf.to_container(config.hydra.overrides.task, resolve=False)
    assert isinstance(overrides, list)
    return overrides


def marks(sweep: Path, job: str | None = None) -> Marks:
    """What changes when a result or an error is written anew, in this job's folder or in all."""
    found = {}
    folders = list(sweep.glob("*")) if job is None else [sweep / job]
    for path in [folder / name for folder in folders for name in (RESULT, EVALUATION, LOCALIZATION, ERROR)]:
        with contextlib.suppress(OSError):  # most are not there, and another process may have removed one
            stat = path.stat()
            found[path] = (stat.st_mtime_ns, stat.st_ino)
    return found
