"""Phantom mammograms: generated images with known lesions, in two scanner domains.

They exist so that training, evaluation and the tests run, and can be measured, with no download.
"""

from medmask.phantom.dataset import make_phantom_dataset
from medmask.phantom.generator import (
    Lesion,
    Patient,
    PhantomImage,
    PhantomParameters,
    generate_patient,
)

__all__ = [
    "Lesion",
    "Patient",
    "PhantomImage",
    "PhantomParameters",
    "generate_patient",
    "make_phantom_dataset",
]
