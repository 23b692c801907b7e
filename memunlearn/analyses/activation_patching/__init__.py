"""Which activations carry the damage that one perturbed prefix token does to a memorized paragraph."""

from memunlearn.analyses.activation_patching.settings import ActivationPatching as ActivationPatching
