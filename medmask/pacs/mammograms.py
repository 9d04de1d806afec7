"""Choice of the objects of a study that are scored."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from medmask.dicomweb.client import Instance

_FOR_PRESENTATION = "1.2.840.10008.5.1.4.1.1.1.2"
_OTHERS = {
    "1.2.840.10008.5.1.4.1.1.1.2.1": "mammograms for processing",
    "1.2.840.10008.5.1.4.1.1.13.1.3": "tomosynthesis",
}
_SCORED = {
    _FOR_PRESENTATION,
    "1.2.840.10008.5.1.4.1.1.1",  # computed radiography: plates that were read out
    "1.2.840.10008.5.1.4.1.1.1.1",  # digital radiography, for presentation
}


@dataclass(frozen=True)
class Mammograms:
    """The objects of a study.

    Attributes:
        chosen: to be scored.
        passed_over: how many others there are, by what they are.
    """

    chosen: tuple[Instance, ...]
    passed_over: Counter


def choose_mammograms(instances: Iterable[Instance]) -> Mammograms:
    """Choose images of one frame for presentation; the archive's word on them is taken.

    Images for processing show the same as those for presentation, before the manufacturer's own
    processing. An object whose class the archive does not tell is taken, and refused later if it
    is no image.

    Args:
        instances: of the mammography series of a study.
    """
    chosen, passed_over = [], Counter[str]()
    for instance in instances:
        if instance.sop_class is None or instance.sop_class in _SCORED:
            chosen.append(instance)
        else:
            passed_over[_OTHERS.get(instance.sop_class, "other objects")] += 1
    return Mammograms(tuple(chosen), passed_over)
