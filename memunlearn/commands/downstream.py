"""evaluate.py lm_eval=[TASKS]: its settings, checked before long work."""

from __future__ import annotations

from omegaconf import DictConfig, ListConfig, OmegaConf
from transformers import PreTrainedModel

from memunlearn.errors import UserError
from memunlearn.evaluation.downstream import Downstream, TaskScore, load_tasks, measure_downstream
from memunlearn.models.loading import LoadedModel
from memunlearn.paths import expanded


def downstream_of(cfg: DictConfig) -> Downstream | None:
    """The tasks that are asked for, loaded; None where none are. Raises UserError for names and limits that cannot be."""
    names = OmegaConf.to_container(cfg.lm_eval) if isinstance(cfg.lm_eval, ListConfig) else cfg.lm_eval
    if not isinstance(names, list) or not all(isinstance(name, str) and name for name in names):
        raise UserError(f"lm_eval={names} must be a list of tasks, such as lm_eval=[lambada_openai]")
    if len(set(names)) < len(names):
        raise UserError(f"lm_eval={names} names a task twice: name each once")
    limit = cfg.lm_eval_limit
    if limit is not None and (not isinstance(limit, int) or isinstance(limit, bool) or limit < 1):
        raise UserError(f"lm_eval_limit={limit} must be a whole number of documents, 1 or more, or null for all")
    if not names:
        for name in ("lm_eval_limit", "lm_eval_include"):
            if cfg[name] is not None:
                raise UserError(f"{name}={cfg[name]} is for lm_eval=[TASKS]: name tasks, or leave it out")
        return None
    include = None if cfg.lm_eval_include is None else expanded(cfg.lm_eval_include)
    return load_tasks(names, limit, include, cfg.seed)


def scores_on_tasks(
    downstream: Downstream | None, model: PreTrainedModel, loaded: LoadedModel, batch_size: int
) -> list[TaskScore] | None:
    """None where no tasks are asked for."""
    return None if downstream is None else measure_downstream(downstream, model, loaded.tokenizer, batch_size)


def check_reads_text(downstream: Downstream | None, loaded: LoadedModel) -> None:
    """Raises UserError where tasks, which are text, are asked of a model without a tokenizer."""
    if downstream is not None and loaded.tokenizer is None:
        raise UserError(f"lm_eval needs text, and {loaded.name} has no tokenizer: set model.tokenizer, or leave lm_eval out")
