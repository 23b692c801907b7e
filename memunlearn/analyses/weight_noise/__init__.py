"""Noise on the weights with the highest attribution, against noise on as many others (paper, section 4)."""

from memunlearn.analyses.weight_noise.settings import WeightNoise as WeightNoise
