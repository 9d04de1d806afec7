"""Options of a run that exclude each other."""

from dataclasses import dataclass
from fnmatch import fnmatchcase


@dataclass(frozen=True)
class Exclusion:
    """An option that cannot go with a loss hook."""

    option: str
    """config key; null is without the option"""
    hook: str
    """config key of the loss hook, or a pattern for those of its kind"""
    reason: str

    def sentence(self, hook: str) -> str:
        """Say what cannot go with what, and what to do.

        Args:
            hook: config key of the loss hook that is there.
        """
        return f"{self.option} cannot go with {hook}, {self.reason}: set one of them to null"

    def concerns(self, hook: str) -> bool:
        """Test whether a loss hook with this config key is excluded."""
        return fnmatchcase(hook, self.hook)


MIXUP_AND_EXPERT = Exclusion(
    "dataloader.train.mix",
    "loss_hooks.*_distillation",
    "which has no embeddings of mixed images",
)
PASTING_AND_EXPERT = Exclusion(
    "loss_hooks.teacher.copy_paste",
    "loss_hooks.*_distillation",
    "which has no embeddings of images with pasted lesions",
)
PASTING_AND_MASKS = Exclusion(
    "loss_hooks.teacher.copy_paste",
    "loss_hooks.masks",
    "for pasted lesions have no outlines",
)
MIXUP_AND_IMAGE_LABELS = Exclusion(
    "loss_hooks.image_labels.loader.mix",
    "loss_hooks.image_labels",
    "for a mixed image has the label of one of the two",
)
EXCLUSIONS = (MIXUP_AND_EXPERT, MIXUP_AND_IMAGE_LABELS, PASTING_AND_EXPERT, PASTING_AND_MASKS)
