"""Choices of the command that runs experts, free of heavy imports."""

BIOMED_CLIP = "hf-hub:microsoft/BiomedCLIP-PubMedBERT_256-vit_base_patch16_224"
"""The foundation model that is taken where none is named."""

DTYPES = ("float16", "float32")
"""Of the numbers in a store."""

PROMPT_GROUPS = {
    "malignant": (
        "malignant mass in the breast",
        "spiculated mass, suspicious for breast cancer",
        "cluster of suspicious microcalcifications in the breast",
    ),
    "normal": (
        "normal breast tissue",
        "fatty breast tissue without a lesion",
        "dense fibroglandular breast tissue without a lesion",
    ),
}
"""Class name -> its texts, where none are given."""
