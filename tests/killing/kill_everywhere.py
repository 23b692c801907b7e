"""Kills train, a sweep, evaluate and localize at many points, runs each again, and compares with runs that nobody disturbed.

    python tests/killing/kill_everywhere.py --points 100

Points are file operations inside the run's folder and the cache (evenly over all of them) and random moments. Each run
is a process of its own, killed by SIGKILL or, at every fourth point, told to end by SIGTERM, which it does with exit code 143;
processes are forked from one that has imported the libraries, which saves seconds.
At each point: no file under a final name is torn; the same command run again (train: also resume=true) exits with 0, and
leaves exactly the files of an undisturbed run, equal but for times.
"""

import argparse
import contextlib
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests"), str(ROOT / "tests" / "commands"), str(Path(__file__).parent)]

import command_runs  # noqa: E402
import comparing  # noqa: E402
import tiny_demo  # noqa: E402

from memunlearn.process import own_process  # noqa: E402

RANDOM_SHARE = 0.2
TERM_EVERY = 4  # points
ENDED = {signal.SIGKILL: -signal.SIGKILL, signal.SIGTERM: 128 + signal.SIGTERM}  # exit codes
SMALL = ("batch_size=4", "stop.max_steps=5")
# A demo that recites nothing, but is built in a second: its cache too is killed while it is made.
UNTRAINED = "demo.steps=3"


@dataclass(frozen=True)
class Command:
    """name: of the script. where: hydra.run.dir or hydra.sweep.dir. demo: whether the trained demo is in the cache before."""

    label: str
    name: str
    overrides: tuple[str, ...]
    where: str = "run"
    demo: bool = True


COMMANDS = (
    Command("train", "train", tuple(command_runs.training(*SMALL, "save_model=true"))),
    Command("sweep", "train", tuple(command_runs.training(*SMALL, "mask=random", "seed=0,1")), where="sweep"),
    Command("evaluate", "evaluate", (*tiny_demo.OVERRIDES, UNTRAINED, "accelerator=cpu"), demo=False),
    Command(
        "localize", "localize", (*tiny_demo.OVERRIDES, "accelerator=cpu", "analysis=[em_nll,parameter_gradients]", "seed=0")
    ),
)


@dataclass(frozen=True)
class Kill:
    """operation: at this file operation (from 1), or None; seconds: at this moment, or None. by: the signal."""

    operation: int | None = None
    seconds: float | None = None
    by: signal.Signals = signal.SIGKILL

    def __str__(self) -> str:
        when = f"at file operation {self.operation}" if self.operation else f"after {self.seconds:.2f} s"
        return f"{when} by {self.by.name}"


class Place:
    """A run's folder and a cache, always at the same paths, as they stand in messages and pages."""

    def __init__(self, root: Path, command: Command) -> None:
        self.root, self.command = root, command
        self.run, self.cache, self.log = root / "run", root / "cache", root / "log"

    def fresh(self) -> None:
        for folder in (self.run, self.cache):
            shutil.rmtree(folder, ignore_errors=True)
        self.cache.mkdir()
        if self.command.demo:
            for demo in (self.root / "built").glob("demo-*[!k]"):
                shutil.copytree(demo, self.cache / demo.name, copy_function=os.link)

    def start(self, kill: Kill | None = None, resume: bool = False) -> tuple[int, int, float]:
        """(exit code, number of file operations, seconds) of the command; a negative code for a signal."""
        given = ("resume=true",) if resume else self.command.overrides
        flags = ("-m",) if self.command.where == "sweep" else ()
        arguments = [f"{self.command.name}.py", *flags, *given, f"hydra.{self.command.where}.dir={self.run}"]
        counter, began = self.root / "operations", time.monotonic()
        counter.write_text("")
        process = os.fork()
        if not process:
            self._be(arguments, counter, kill)
        if kill is not None and kill.seconds is not None:
            time.sleep(kill.seconds)
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, kill.by)
        code = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
        return code, counter.stat().st_size, time.monotonic() - began

    def _be(self, arguments: Sequence[str], counter: Path, kill: Kill | None) -> None:
        """The command, in this process, which ends here."""
        code = 1
        try:
            log = os.open(self.log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
            os.dup2(log, 1)
            os.dup2(log, 2)
            os.environ["MEMUNLEARN_CACHE"] = str(self.cache)
            sys.argv = list(arguments)
            sys.addaudithook(watch((self.run, self.cache), counter, kill))
            with own_process():
                command_runs.run_app(command_runs._task(self.command.name), self.command.name, command_runs.CONF)
            code = 0
        except SystemExit as ended:
            code = ended.code if isinstance(ended.code, int) else 1
        except BaseException:
            import traceback

            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)


def watch(roots: Sequence[Path], counter: Path, kill: Kill | None) -> Callable[[str, tuple], None]:
    """An audit hook that counts operations on files below the roots, and kills the process at the one that was asked for.

    A file that is opened to be written anew is emptied before the kill: that is what an open leaves when the kill comes next.
    """
    inside = tuple(f"{root}{os.sep}" for root in roots)
    count, handle = 0, os.open(counter, os.O_WRONLY | os.O_APPEND)

    def hook(event: str, arguments: tuple) -> None:
        nonlocal count
        if event not in ("open", "os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.truncate", "os.link"):
            return
        path = arguments[1 if event == "os.rename" else 0]
        if not isinstance(path, str | os.PathLike) or not str(path).startswith(inside):
            return
        flags = arguments[2] if event == "open" else 0
        if event == "open" and not flags & (os.O_WRONLY | os.O_RDWR):
            return
        count += 1
        os.write(handle, b".")
        if kill is not None and count == kill.operation:
            if event == "open" and flags & os.O_CREAT and flags & (os.O_TRUNC | os.O_EXCL):
                # Nested: this open is counted too, but is not the last.
                os.close(os.open(path, flags, 0o644))
            os.kill(os.getpid(), kill.by)

    return hook


def points_of(number: int, operations: int, seconds: float, draw: random.Random) -> list[Kill]:
    """So many points, a fifth of them random moments; the others one operation from each of as many equal parts of all."""
    moments = round(number * RANDOM_SHARE)
    part = operations / max(1, number - moments)
    chosen = [1 + int((place + draw.random()) * part) for place in range(number - moments)]
    kills = [Kill(operation=one) for one in chosen] + [Kill(seconds=draw.uniform(0.2, seconds)) for _ in range(moments)]
    return [replace(kill, by=signal.SIGTERM) if place % TERM_EVERY == 1 else kill for place, kill in enumerate(kills)]


def try_point(place: Place, kill: Kill, expected: comparing.Content) -> Iterator[str]:
    """What is wrong after this kill; nothing where all is as it should be."""
    place.fresh()
    code, *_ = place.start(kill)
    if code != ENDED[kill.by] and not (kill.seconds and code == 0):
        yield f"ended with {code} instead of being killed: {tail(place.log)}"
    yield from (f"torn: {name}" for name in comparing.torn([place.run, place.cache]))
    resumable = place.command.label == "train" and (place.run / "checkpoints" / "config.yaml").is_file()
    killed = place.root / "killed"
    if resumable:
        shutil.rmtree(killed, ignore_errors=True)
        for name in ("run", "cache"):
            shutil.copytree(place.root / name, killed / name)
    code, *_ = place.start()
    yield from (f"run again: {one}" for one in differences(place, code, expected))
    if resumable:
        for name in ("run", "cache"):
            shutil.rmtree(place.root / name)
            shutil.move(killed / name, place.root / name)
        code, *_ = place.start(resume=True)
        yield from (f"resumed: {one}" for one in differences(place, code, expected))


def differences(place: Place, code: int, expected: comparing.Content) -> list[str]:
    if code:
        return [f"exit code {code}: {tail(place.log)}"]
    return comparing.differences(comparing.content([place.run, place.cache]), expected)


def tail(log: Path) -> str:
    return " | ".join(log.read_text("utf-8", "replace").splitlines()[-3:])


def kill_everywhere(root: Path, points: int, commands: Sequence[Command], seed: int = 0) -> int:
    """The number of points after which something was wrong; each is told."""
    draw, wrong, done, resumed = random.Random(seed), 0, 0, 0
    prepare(root)
    for place_of, command in enumerate(commands):
        place = Place(root, command)
        place.fresh()
        code, operations, seconds = place.start()
        assert code == 0, tail(place.log)
        expected = comparing.content([place.run, place.cache])
        share = points // len(commands) + (place_of < points % len(commands))
        print(f"{command.label}: {operations} file operations, {seconds:.1f} s undisturbed; {share} points", flush=True)
        for kill in points_of(share, operations, seconds, draw):
            found = list(try_point(place, kill, expected))
            done, wrong = done + 1, wrong + bool(found)
            resumed += command.label == "train"
            for one in found:
                print(f"WRONG {command.label}, killed {kill}: {one}", flush=True)
        print(f"{command.label}: done, {wrong} of {done} points wrong so far", flush=True)
    print(f"{done} points, {wrong} wrong")
    return wrong


def prepare(root: Path) -> None:
    """The trained demo, built once, by a process of its own."""
    import hydra  # noqa: F401
    import lightning  # noqa: F401
    import transformers  # noqa: F401
    import vl_convert  # noqa: F401

    import memunlearn.commands.evaluate  # noqa: F401
    import memunlearn.commands.localize  # noqa: F401
    import memunlearn.commands.search  # noqa: F401
    import memunlearn.commands.train  # noqa: F401

    process = os.fork()
    if not process:
        os.environ["MEMUNLEARN_CACHE"] = str(root / "built")
        from memunlearn.demo.model import demo_directory

        demo_directory(tiny_demo.tiny_demo())
        os._exit(0)
    assert os.waitpid(process, 0)[1] == 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--points", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", choices=[command.label for command in COMMANDS])
    parser.add_argument("--folder", type=Path, help="to work in, and to keep; else a temporary one")
    options = parser.parse_args()
    os.environ |= {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "MPLBACKEND": "Agg"}
    chosen = [command for command in COMMANDS if options.only in (None, command.label)]
    with tempfile.TemporaryDirectory() as temporary:
        root = (options.folder or Path(temporary)).resolve()
        return int(kill_everywhere(root, options.points, chosen, options.seed) > 0)


if __name__ == "__main__":
    sys.exit(main())
