"""Foundation models as teachers: their embeddings are stored ahead of training.

Training reads an :class:`ExpertStore` and never loads an expert, nor imports open_clip.
"""

from typing import TYPE_CHECKING

from medmask.utils.lazy_exports import lazy_exports

if TYPE_CHECKING:
    from medmask.experts.image_signature import sign_file
    from medmask.experts.manifest import StoreSettings
    from medmask.experts.patch_statistics import PatchStatistics, join_patch_moments
    from medmask.experts.preprocessing import ExpertView
    from medmask.experts.prompts import DEFAULT_PROMPTS, PromptEmbeddings, Prompts
    from medmask.experts.shard import ExpertEntry, ImageEmbeddings
    from medmask.experts.store import ExpertStore, join_first
    from medmask.experts.store_writer import StoreWriter

__all__ = [
    "DEFAULT_PROMPTS",
    "ExpertEntry",
    "ExpertStore",
    "ExpertView",
    "ImageEmbeddings",
    "PatchStatistics",
    "PromptEmbeddings",
    "Prompts",
    "StoreSettings",
    "StoreWriter",
    "join_first",
    "join_patch_moments",
    "sign_file",
]

__getattr__, __dir__ = lazy_exports(
    __name__,
    {
        "DEFAULT_PROMPTS": "medmask.experts.prompts",
        "ExpertEntry": "medmask.experts.shard",
        "ExpertStore": "medmask.experts.store",
        "ExpertView": "medmask.experts.preprocessing",
        "ImageEmbeddings": "medmask.experts.shard",
        "PatchStatistics": "medmask.experts.patch_statistics",
        "PromptEmbeddings": "medmask.experts.prompts",
        "Prompts": "medmask.experts.prompts",
        "StoreSettings": "medmask.experts.manifest",
        "StoreWriter": "medmask.experts.store_writer",
        "join_patch_moments": "medmask.experts.patch_statistics",
        "join_first": "medmask.experts.store",
        "sign_file": "medmask.experts.image_signature",
    },
)
