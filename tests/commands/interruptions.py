"""A callback that interrupts its own run right after a step, after the checkpoint of that step was written."""

import os
import signal
from pathlib import Path

from lightning.pytorch.callbacks import Checkpoint

OVERRIDE = "+callbacks.interruption._target_=interruptions.Interruption"
# A class that no config of the project offers.
ALLOWED = "allow=[interruptions.Interruption]"


class Interrupted(Exception):
    pass


class Interruption(Checkpoint):
    """INTERRUPT_AFTER: the step. INTERRUPT_BY=kill: SIGKILL, else an exception. INTERRUPT_FOLDER: only the run in a folder
    of this name. Lightning calls checkpoint callbacks last."""

    def on_train_batch_end(self, trainer, module, outputs, batch, batch_index):
        folder = Path(trainer.loggers[0].log_dir).name
        if os.environ.get("INTERRUPT_FOLDER", folder) != folder:
            return
        if os.environ.get("INTERRUPT_AFTER") == str(trainer.global_step):
            if os.environ.get("INTERRUPT_BY") == "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            raise Interrupted
