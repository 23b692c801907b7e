"""The names of the two parts of `near`, for those who compute and those who tell."""

from __future__ import annotations

NEAR_FORGOTTEN, NEAR_OTHER = "near_forgotten", "near_other"
"""The two parts of `near`, reported beside it: rows whose continuation holds forgotten text (20 tokens in a row of a forget
continuation), which are rightly forgotten too, and the others, where forgetting is damage."""
