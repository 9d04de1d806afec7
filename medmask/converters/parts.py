"""The parts of a converted data set, and the annotation files of each of them."""

ANNOTATIONS = "annotations"
"""The folder of the annotation files."""
SPLITS = ("train", "val", "test")
LABELS = ("malignant", "lesion")
"""Lesions that an annotation file shows, and its class: malignant ones, or any."""
ALL, HELDOUT = "all", "heldout"
"""All images; those of val and test together."""
NUM_FOLDS = 5
"""Folds whose names are registered; a set can be dealt to any number."""


def fold_part(fold: int, role: str) -> str:
    """Name the part to train on or to test on ("train" or "test") of a fold."""
    return f"fold{fold}_{role}"


PARTS = (
    *(ALL, *SPLITS, HELDOUT),
    *(fold_part(fold, role) for fold in range(NUM_FOLDS) for role in ("train", "test")),
)
"""Those whose names are registered."""


def annotation_file(part: str, label: str) -> str:
    """Name the annotation file of a part."""
    return f"instances_{part}.json" if label == "malignant" else f"instances_{part}_{label}.json"
