"""A callback that holds a run up in the middle of its training, so that a test can do something to its process there."""

import os
import time
from pathlib import Path

from lightning.pytorch.callbacks import Checkpoint

OVERRIDE = "+callbacks.pause._target_=pauses.Pause"
AFTER = 5  # steps: one after a checkpoint where stop.every=2
LONGEST = 300  # seconds


class Pause(Checkpoint):
    """PAUSES: a folder with a file for each run that is to be held up, named like the run's folder. The file is taken away, and
    `NAME.at` with the process's number comes instead: so the run is held up once, and goes through when it comes again.

    Lightning calls checkpoint callbacks last.
    """

    def on_train_batch_end(self, trainer, module, outputs, batch, batch_index):
        asked = Path(os.environ.get("PAUSES", os.devnull)) / Path(trainer.loggers[0].log_dir).name
        if trainer.global_step != AFTER or not asked.is_file():
            return
        asked.unlink()
        written = asked.with_suffix(".new")
        written.write_text(str(os.getpid()))
        written.rename(asked.with_suffix(".at"))
        time.sleep(LONGEST)  # a signal that ends the run ends this too
        raise AssertionError(f"nobody came in {LONGEST} seconds")


def ask(folder: Path, *names: str) -> None:
    """Runs in folders of these names are to be held up."""
    folder.mkdir(exist_ok=True)
    for name in names:
        (folder / name).touch()


def process_at(folder: Path, name: str, command, seconds: float = 240) -> int:
    """The number of the process of the run that is held up; waits for it, no longer than the command lives."""
    path, last = folder / f"{name}.at", time.monotonic() + seconds
    while not path.exists():
        assert command.poll() is None and time.monotonic() < last, f"{name} did not come to its pause"
        time.sleep(0.2)
    number = int(path.read_text())
    path.unlink()
    return number
