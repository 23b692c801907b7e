"""Whether p_z is measured, and of which sampling: the settings p_z.top_k and p_z.temperature."""

from __future__ import annotations

from omegaconf import DictConfig

from memunlearn.errors import UserError
from memunlearn.scoring.sampling import Sampling


def sampling_of(cfg: DictConfig) -> Sampling | None:
    """None where p_z.top_k is null: nobody asks for p_z. Raises UserError for what is no such number."""
    top_k = cfg.p_z.top_k
    if top_k is None:
        return None
    if isinstance(top_k, bool) or not isinstance(top_k, int):
        raise UserError(f"p_z.top_k={top_k} must be a whole number, 1 or more (null: p_z is not measured)")
    return Sampling(top_k, float(cfg.p_z.temperature))
