"""memunlearn: find the paragraphs that a language model recites, unlearn or edit them, and prove it.

The names below are all that a notebook needs; each is imported when it is first used, so `import memunlearn` costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_WHERE = {
    "Alternatives": "scoring.alternatives",
    "Caps": "paragraphs.splits",
    "Contrastive": "localization.weight_attribution",
    "Demo": "demo.model",
    "DemoModelSource": "demo.model",
    "DemoSource": "demo.model",
    "Edit": "objectives.contrastive",
    "FileSource": "paragraphs.sources",
    "Filter": "models.filters",
    "Fisher": "localization.weight_attribution",
    "Gradient": "localization.weight_attribution",
    "GradientTimesWeight": "localization.weight_attribution",
    "HubSource": "paragraphs.sources",
    "LMExtractionSource": "paragraphs.sources",
    "LoadedModel": "models.loading",
    "Mask": "masks.selection",
    "ModelSource": "models.loading",
    "ParagraphScores": "scoring.score",
    "ParagraphSet": "paragraphs.paragraph_set",
    "ParagraphSets": "paragraphs.splits",
    "Patch": "models.patches",
    "PileSource": "paragraphs.sources",
    "Preparation": "unlearning.preparation",
    "StopRule": "unlearning.stopping",
    "Training": "unlearning.training",
    "Unlearn": "objectives.contrastive",
    "UserError": "errors",
    "activation_gradients": "localization.activation_gradients",
    "activation_patching": "localization.activation_patching",
    "apply_patch": "models.patches",
    "attention_heads": "localization.attention_heads",
    "attribute": "localization.weight_attribution",
    "count_tokens": "paragraphs.frequency",
    "eligible_weights": "models.components",
    "find_alternatives": "scoring.alternatives",
    "greedy_continuations": "scoring.greedy",
    "load_model": "models.loading",
    "load_patch": "models.patches",
    "load_tokenizer": "models.loading",
    "parameter_gradients": "localization.parameter_gradients",
    "perturb_tokens": "localization.token_perturbation",
    "prepare": "unlearning.preparation",
    "remove_patch": "models.patches",
    "save_baked": "models.baking",
    "save_patch": "models.patches",
    "score": "scoring.score",
    "select_all": "masks.selection",
    "select_random": "masks.selection",
    "select_random_matched": "masks.selection",
    "select_top": "masks.selection",
    "split_by_em": "paragraphs.splits",
    "split_named": "paragraphs.splits",
    "twins_of": "localization.twins",
    "unlearn": "unlearning.training",
    "weight_noise": "localization.weight_noise",
}

__all__ = sorted(_WHERE)


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module 'memunlearn' has no attribute {name!r}")
    return getattr(import_module(f"memunlearn.{_WHERE[name]}"), name)


def __dir__() -> list[str]:
    return __all__
