"""Foundation models as teachers: their embeddings are stored ahead of training.

Training reads an :class:`ExpertStore` and never loads an expert, nor imports open_clip.
"""

from medmask.experts.image_signature import sign_file
from medmask.experts.manifest import StoreSettings
from medmask.experts.patch_statistics import PatchStatistics, patch_statistics
from medmask.experts.preprocessing import ExpertView
from medmask.experts.prompts import DEFAULT_PROMPTS, PromptEmbeddings, Prompts
from medmask.experts.shard import ExpertEntry, ImageEmbeddings
from medmask.experts.store import ExpertStore, name_first
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
    "name_first",
    "patch_statistics",
    "sign_file",
]
