"""Does localization find what is really there? New paragraphs are planted in known weights, and attributions look for them."""

from memunlearn.analyses.known_answer.settings import KnownAnswer as KnownAnswer
