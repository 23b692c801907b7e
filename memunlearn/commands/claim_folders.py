"""Before Hydra writes anything: the folder of a run or a sweep is this process's own, and no result in it is lost."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.core.utils import JobReturn
from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf, read_write

from memunlearn.commands.arguments import override
from memunlearn.commands.call import SCRIPTS, program
from memunlearn.commands.claims import hold, hold_when_free, let_go, new_folder
from memunlearn.commands.earlier_results import check_earlier, is_complete, remove_earlier
from memunlearn.commands.sweep_folder import RESULT
from memunlearn.errors import UserError
from memunlearn.process import AGAIN, go_on_by

CHECKPOINT = Path("checkpoints") / "last.ckpt"
FINDINGS = "findings"


class Refused(BaseException):
    """What kept a command from its folder. No Exception: of those, Hydra makes warnings when a callback raises them."""

    def __init__(self, error: Exception) -> None:
        super().__init__(error)
        self.error = error


class ClaimFolders(Callback):
    """A folder that is named by the time gets the first free name; any other must not be in use, nor hold another result."""

    def on_run_start(self, config: DictConfig, **kwargs: Any) -> None:
        with _refusing(), _as_hydras(config):
            folder = _own(config, "run")
            resumed, overwrite = bool(config.get("resume", False)), bool(config.get("overwrite", False))
            go_on_by(lambda: _resuming(folder, config.hydra.job.config_name, checkpoint, resumed))
            checkpoint = _mark(folder / CHECKPOINT)
            if not hold(folder):
                raise UserError(
                    f"{folder} is in use by another process: wait until it has ended, or choose another hydra.run.dir"
                )
            if not resumed:
                settings = _settings(config)
                if overwrite:
                    remove_earlier(folder)
                check_earlier(folder, settings, config.hydra.job.config_name)
                resumed = is_complete(folder, settings)
            if resumed:  # what Hydra would put in .hydra/ is not what that run was started with
                with read_write(config.hydra):
                    config.hydra.output_subdir = None

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        with _refusing(), _as_hydras(config):
            sweep = _own(config, "sweep").resolve()
            where = shlex.quote(override("hydra.sweep.dir", str(sweep)))
            go_on_by(lambda: f"{AGAIN} with `{where}`: finished jobs are skipped")

    def on_job_start(self, config: DictConfig, **kwargs: Any) -> None:
        hold_when_free(Path(config.hydra.runtime.output_dir))  # in the worker of a launcher that knows nothing of claims

    def on_job_end(self, config: DictConfig, job_return: JobReturn, **kwargs: Any) -> None:
        let_go(Path(config.hydra.runtime.output_dir))


@contextmanager
def _refusing() -> Iterator[None]:
    try:
        yield
    except Exception as error:
        raise Refused(error) from error


@contextmanager
def _as_hydras(config: DictConfig) -> Iterator[None]:
    """${hydra:...} is known, as it is when Hydra itself asks for the folder."""
    before = HydraConfig.instance().cfg
    HydraConfig.instance().set_config(config)
    try:
        yield
    finally:
        HydraConfig.instance().cfg = before


def _own(config: DictConfig, mode: str) -> Path:
    """The folder of this run or sweep ("run", "sweep"); one that is named by the time is made, and is new."""
    place = config.hydra[mode]
    folder = Path(place.dir)
    if "${now:" not in str(OmegaConf.to_container(place, resolve=False)["dir"]):  # type: ignore[index, call-overload]
        return folder
    made = new_folder(folder)
    if made != folder:
        with read_write(config.hydra):
            place.dir = str(made)
            # A sweep's jobs are composed anew, of the overrides.
            config.hydra.overrides.hydra.append(override(f"hydra.{mode}.dir", str(made)))
    return made


def _settings(config: DictConfig) -> dict[str, Any]:
    settings = OmegaConf.masked_copy(config, [str(key) for key in config if key != "hydra"])
    return OmegaConf.to_container(settings, resolve=True)  # type: ignore[return-value]


def _resuming(folder: Path, command: str, before: tuple[int, int] | None, resumed: bool) -> str:
    """How to go on with the run in this folder. before: its checkpoint's mark when this command began."""
    where = shlex.quote(override("hydra.run.dir", str(folder.resolve())))
    checkpoint = _mark(folder / CHECKPOINT)
    if command == "takedown":
        return f"{AGAIN} with `{where}`: stages that are done are skipped"
    if (folder / RESULT).is_file():
        return f"the run is complete, in {folder}"
    if resumed or (checkpoint is not None and checkpoint != before):
        return f"go on with `{shlex.join(_same_command(command))} resume=true {where}`"
    return f"{AGAIN} with `{where}`: findings are kept" if (folder / FINDINGS).is_dir() else AGAIN


def _same_command(command: str) -> list[str]:
    how = program()
    return ["python", sys.argv[0]] if how == SCRIPTS else shlex.split(how.format(command))


def _mark(path: Path) -> tuple[int, int] | None:
    try:
        stat = path.stat()
    except OSError:
        return None
    return stat.st_mtime_ns, stat.st_ino
