"""One prefix token replaced at a time (paper, section 3): are memorized continuations harder to corrupt, and where?"""

from memunlearn.analyses.token_perturbation.settings import TokenPerturbation as TokenPerturbation
