"""Foundation models as teachers: their embeddings are stored ahead of training.

Training reads an :class:`ExpertStore` and never loads an expert, nor imports open_clip.
"""

from medmask.experts.prompts import PromptEmbeddings, Prompts
from medmask.experts.shard_reader import ExpertEntry
from medmask.experts.store import ExpertStore

__all__ = ["ExpertEntry", "ExpertStore", "PromptEmbeddings", "Prompts"]
