"""Phantom mammograms: generated images with known lesions, in two scanner domains.

They exist so that training, evaluation and the tests run, and can be measured, with no download.
"""

from typing import TYPE_CHECKING

from medmask.utils.lazy_exports import lazy_exports

if TYPE_CHECKING:
    from medmask.phantom.dataset import make_phantom_dataset
    from medmask.phantom.generator import Lesion, Patient, PhantomImage, generate_patient
    from medmask.phantom.options import PhantomParameters

__all__ = [
    "Lesion",
    "Patient",
    "PhantomImage",
    "PhantomParameters",
    "generate_patient",
    "make_phantom_dataset",
]

__getattr__, __dir__ = lazy_exports(
    __name__,
    {
        "Lesion": "medmask.phantom.generator",
        "Patient": "medmask.phantom.generator",
        "PhantomImage": "medmask.phantom.generator",
        "PhantomParameters": "medmask.phantom.options",
        "generate_patient": "medmask.phantom.generator",
        "make_phantom_dataset": "medmask.phantom.dataset",
    },
)
