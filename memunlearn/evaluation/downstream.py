"""Tasks of lm-evaluation-harness on models that are loaded already: what a model without the texts is still good for.

The harness is an extra, imported where it is asked for. Gao et al., "The Language Model Evaluation Harness",
https://github.com/EleutherAI/lm-evaluation-harness.
"""

from __future__ import annotations

import copy
import difflib
import logging
import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from numbers import Real
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
from transformers import PreTrainedModel

from memunlearn.errors import UserError
from memunlearn.statistics.intervals import mean_with_interval

INSTALL = "lm_eval needs lm-evaluation-harness: pip install 'memunlearn[lm-eval]'"


@dataclass(frozen=True)
class Downstream:
    """Tasks that are loaded, their documents too. limit: how many documents of each are read at most, None for all."""

    tasks: tuple[Any, ...]
    limit: int | None
    seed: int
    version: str


@dataclass(frozen=True, kw_only=True)
class TaskScore:
    """One metric of one task on one model. documents: the metric of each document [n] where `value` is their mean, else None.
    n of `of` documents were read. stderr: as the harness gives it, None where it gives none."""

    task: str
    metric: str
    filter: str
    higher_is_better: bool | None
    value: float
    stderr: float | None
    n: int | None
    of: int | None
    shots: int | None
    documents: tuple[float, ...] | None


def load_tasks(names: Sequence[str], limit: int | None, include: Path | None, seed: int) -> Downstream:
    """Finds and loads tasks (groups and tags too) by name; those in the folder `include` go before the harness's own.

    Data sets are read here, from the network where they are there. Raises UserError where the harness is not installed, does
    not know a task, cannot load it, or where a task runs code that a model has written.
    """
    if include is not None and not include.is_dir():
        raise UserError(f"lm_eval_include={include} is no folder: give one that holds task files (.yaml)")
    try:
        import lm_eval
        from lm_eval.tasks import TaskManager
    except ImportError as error:
        raise UserError(INSTALL) from error
    _import_the_library_evaluate()
    logging.getLogger("lm_eval").setLevel(logging.ERROR)  # its advice is on settings that are decided here
    own = None if include is None else TaskManager(include_path=str(include), include_defaults=False)
    # Reading the harness's own 14,000 task files takes ten seconds.
    manager = own if own is not None and set(names) <= set(own.all_subtasks) else TaskManager(include_path=_text(include))
    for name in names:
        if name not in manager.all_tasks:
            like = difflib.get_close_matches(name, manager.all_tasks, 3)
            meant = f": did you mean {' or '.join(like)}?" if like else ""
            raise UserError(
                f"lm_eval: the task {name} is not known{meant or ':'} give names that `lm_eval ls tasks` lists, or set "
                "lm_eval_include to the folder of your own task files"
            )
    return Downstream(tuple(task for name in names for task in _loaded(manager, name)), limit, seed, lm_eval.__version__)


def measure_downstream(downstream: Downstream, model: PreTrainedModel, tokenizer: Any, batch_size: int) -> list[TaskScore]:
    """Every metric of every task, in their order; the model is only read. Raises UserError where a task cannot be run on it."""
    from lm_eval import simple_evaluate
    from lm_eval.models.huggingface import HFLM

    try:
        # A copy: the harness gives a tokenizer without a padding token one.
        harness_model = HFLM(pretrained=model, tokenizer=copy.deepcopy(tokenizer), batch_size=batch_size, backend="causal")
        seed = downstream.seed
        results = simple_evaluate(
            harness_model,
            tasks=list(downstream.tasks),
            limit=downstream.limit,
            random_seed=seed,
            numpy_random_seed=seed,
            torch_random_seed=seed,
            fewshot_random_seed=seed,
        )
    except (ValueError, TypeError, AssertionError, NotImplementedError, KeyError) as error:
        raise UserError(f"lm_eval: the harness cannot run these tasks on this model ({error}): leave them out") from error
    return [score for name, metrics in results["results"].items() for score in _scores(name, metrics, results)]


def task_entries(downstream: Downstream, base: Sequence[TaskScore], unlearned: Sequence[TaskScore] | None) -> dict[str, Any]:
    """What stands in evaluation.json: of both models, which scored the same tasks; None for unlearned where there is one model.

    The difference is unlearned - base, its 95 % interval over documents, read by both models; both null where the value is no
    mean over documents.
    """
    rows = []
    others: Sequence[TaskScore | None] = [None] * len(base) if unlearned is None else unlearned
    for before, after in zip(base, others, strict=True):
        difference, interval = _difference(before, after, downstream.seed)
        rows.append(
            {
                "task": before.task,
                "metric": before.metric,
                "filter": before.filter,
                "higher_is_better": before.higher_is_better,
                "n": before.n,
                "of": before.of,
                "shots": before.shots,
                "base": {"value": before.value, "stderr": before.stderr},
                "unlearned": None if after is None else {"value": after.value, "stderr": after.stderr},
                "difference": difference,
                "difference_ci": interval,
            }
        )
    return {"version": downstream.version, "limit": downstream.limit, "tasks": rows}


def _text(path: Path | None) -> str | None:
    return None if path is None else str(path)


def _loaded(manager: Any, name: str) -> list[Any]:
    try:
        loaded = manager.load(name)
    except Exception as error:  # task files are anyone's, and so are the data sets behind them
        said = " ".join(f"{type(error).__name__}: {error}".split())
        raise UserError(
            f"lm_eval: the task {name} cannot be loaded ({said[:300]}): check its file, and the network if its data are fetched"
        ) from error
    for task in loaded["tasks"].values():
        if getattr(task, "UNSAFE_CODE", False) or getattr(task, "MULTIMODAL", False):
            what = "runs code that the model writes" if getattr(task, "UNSAFE_CODE", False) else "needs pictures or sound"
            raise UserError(f"lm_eval: the task {name} {what}, which is not done here: leave it out")
    groups = loaded["groups"]
    return [groups[name]] if name in groups else list(loaded["tasks"].values())


def _scores(name: str, metrics: Mapping[str, Any], results: Mapping[str, Any]) -> list[TaskScore]:
    counts = results["n-samples"].get(name, {})
    better = results["higher_is_better"].get(name, {})
    scores = []
    for key, value in metrics.items():
        metric, comma, filtered = key.partition(",")
        if not comma or metric.endswith("_stderr") or not isinstance(value, Real):
            continue
        stderr = metrics.get(f"{metric}_stderr,{filtered}")
        documents = _documents(results["samples"].get(name, []), metric, filtered)
        is_mean = documents is not None and math.isclose(fmean(documents), value, rel_tol=1e-9, abs_tol=1e-12)
        scores.append(
            TaskScore(
                task=name,
                metric=metric,
                filter=filtered,
                higher_is_better=better.get(metric),
                value=float(value),
                stderr=float(stderr) if isinstance(stderr, Real) else None,
                n=counts.get("effective"),
                of=counts.get("original"),
                shots=results["n-shot"].get(name),
                documents=documents if is_mean else None,
            )
        )
    return scores


def _documents(samples: Sequence[Mapping[str, Any]], metric: str, filtered: str) -> tuple[float, ...] | None:
    """The metric of every document, in their order; None where one has no number."""
    read = sorted((sample for sample in samples if sample["filter"] == filtered), key=lambda sample: sample["doc_id"])
    values = [value for sample in read if isinstance(value := sample.get(metric), Real)]
    return tuple(float(value) for value in values) if values and len(values) == len(read) else None


def _difference(base: TaskScore, unlearned: TaskScore | None, seed: int) -> tuple[float | None, list[float] | None]:
    if unlearned is None or base.documents is None or unlearned.documents is None:
        return None, None
    change = np.subtract(unlearned.documents, base.documents)
    mean, interval = mean_with_interval(change, np.arange(len(change)), seed)
    return mean, None if interval is None else list(interval)


def _import_the_library_evaluate() -> None:
    """So that `import evaluate`, which tasks do, means Hugging Face's library and not the script of that name beside conf/."""
    path = list(sys.path)
    sys.path[:] = [place for place in path if not (Path(place) / "evaluate.py").is_file()]
    try:
        import evaluate  # noqa: F401
    finally:
        sys.path[:] = path
