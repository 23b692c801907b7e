"""p_z in words: after how many samples a text has been said as likely as not."""

from __future__ import annotations

import math

EVEN = 0.5


def p_z_of(log_p_z: float | None) -> float | None:
    """log_p_z: nats; None where it was not measured, or where sampling never says the text."""
    return None if log_p_z is None else math.exp(log_p_z)


def samples_of(log_p_z: float | None) -> int | None:
    """The fewest samples of which one says the text with probability .5 (`scoring.sampling.samples_needed`, rounded up).

    None where that is not known, or where p_z is too small for a number.
    """
    import torch

    from memunlearn.scoring.sampling import samples_needed

    if log_p_z is None:
        return None
    needed = float(samples_needed(torch.tensor([log_p_z], dtype=torch.float64), EVEN))
    return math.ceil(needed) if math.isfinite(needed) else None
