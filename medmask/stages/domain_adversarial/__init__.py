"""Adversarial alignment of source and target features."""

from medmask.stages.domain_adversarial.discriminators import DomainDiscriminators
from medmask.stages.domain_adversarial.hook import DomainAdversarialHook

__all__ = ["DomainAdversarialHook", "DomainDiscriminators"]
