"""How many rows each set may have."""

from __future__ import annotations

from dataclasses import dataclass

from memunlearn.errors import UserError


@dataclass(frozen=True)
class Caps:
    """Most rows of forget, of bystander with bystander_val (and protected), of retain_train with retain_val and retain. None:
    no cap. Where a pool of memorized rows is split, max_forget=None means half of them.

    protect: the share 0..1 of the clusters of `bystander` that are `protected` instead; every other set stays as it is.
    Raises UserError for caps that leave no set.
    """

    max_forget: int | None = None
    max_bystander: int | None = None
    max_retain: int | None = None
    protect: float = 0.0

    def __post_init__(self) -> None:
        for name, least in (("max_forget", 1), ("max_bystander", 0), ("max_retain", 3)):
            value = getattr(self, name)
            if value is not None and (not isinstance(value, int) or value < least):
                raise UserError(
                    f"paragraphs.{name}={value} is not a number of paragraphs: set {least} or more, or null for all"
                )
        if isinstance(self.protect, bool) or not isinstance(self.protect, int | float) or not 0 <= self.protect <= 1:
            raise UserError(
                f"paragraphs.protect={self.protect} is not a share: set a number from 0 (none) to 1 (all bystanders)"
            )
