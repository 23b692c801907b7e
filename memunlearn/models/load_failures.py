"""Why a model or a tokenizer did not load, in one line."""

from __future__ import annotations

from memunlearn.errors import is_out_of_memory
from memunlearn.models.checkpoint_kinds import why_not_on_the_hub
from memunlearn.models.locations import is_local


def too_large(name: str) -> str:
    return (
        f"out of memory: the model {name} does not fit, at 4 bytes a weight (weights are fp32 here): close other programs, "
        "take a machine with more memory, or a smaller model"
    )


def why_not(what: str, name: str, error: Exception, revision: str | None = None) -> str:
    """what: model or tokenizer. error: what transformers raised."""
    if is_out_of_memory(error):
        return too_large(name)
    # Cut short: transformers appends lists of every class that it knows.
    reason = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
    if "trust_remote_code" in str(error):
        return f"the {what} {name} brings code of its own, which is never run here: give one that transformers knows by itself"
    if is_local(name):
        return (
            f"cannot load the {what} in {name} ({reason}): check that its files are whole (copy them again), that "
            "transformers knows its type, and that model.attn_implementation suits it"
        )
    return why_not_on_the_hub(name, revision) or (
        f"cannot load the {what} {name}: no such folder here, and not from the Hugging Face Hub ({reason}); "
        "without a network point to a local copy: model=local model.name_or_path=DIR"
    )
