"""What every attack is given: the model that is attacked, and the text that it is to be made to say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol

from torch import Tensor

from memunlearn.models.components import WeightTensor
from memunlearn.models.patches import Patch
from memunlearn.paragraphs.paragraph_set import ParagraphSet

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from memunlearn.attacks.attempt import Attempt

SubjectName = Literal["base", "unlearned", "oracle"]


@dataclass(frozen=True, eq=False)
class Subject:
    """A model under attack: plain, without deltas. An attack leaves it bit for bit as it was, in evaluation mode.

    name: the base model, the unlearned one, or the oracle, which never saw the forget rows and shows what an attack brings
    where nothing was there to be forgotten.
    """

    name: SubjectName
    model: PreTrainedModel


@dataclass(frozen=True, eq=False, kw_only=True)
class Target:
    """What the attacks are after, and what they may use for it.

    forget: N rows; clusters: [N] int64, rows with the same number are near-duplicates. others: non-memorized rows, text that
    has nothing to do with the forget rows; may be empty. base: the model before unlearning; patch: what unlearning added to
    it; None where not known. weights: the eligible ones of a subject. tokenizer: None where text is ids only.
    batch_size: rows a scoring pass. seed: of everything that an attack draws.
    """

    forget: ParagraphSet
    clusters: Tensor
    others: ParagraphSet
    base: PreTrainedModel | None
    patch: Patch | None
    weights: Sequence[WeightTensor]
    tokenizer: Any | None
    batch_size: int
    seed: int


class Attack(Protocol):
    """An attempt, or several, to get forgotten text back. Its docstring is its protocol; what varies are its settings.

    The same subject, target and settings give the same attempts. [] where the attack has nothing to say of this subject.
    """

    @property
    def name(self) -> str:
        """As its config and attacks.json call it."""

    def __call__(self, subject: Subject, target: Target) -> list[Attempt]: ...
