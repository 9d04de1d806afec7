"""Text prompts of an expert, grouped by class, and their embeddings."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from medmask.errors import InputError
from medmask.experts.options import PROMPT_GROUPS
from medmask.utils.json_files import read_json


@dataclass(frozen=True)
class Prompts:
    """K texts in C classes.

    Attributes:
        class_names: C names, such as ("malignant", "normal").
        texts: K texts, those of a class together, in the order of the classes.
        class_indices: the class of each text, K integers in [0, C).
    """

    class_names: tuple[str, ...]
    texts: tuple[str, ...]
    class_indices: tuple[int, ...]

    @classmethod
    def from_groups(cls, groups: Mapping[str, Sequence[str]]) -> "Prompts":
        """Build prompts from ``{class name: its texts}``; the order is kept.

        Raises:
            InputError: there is no class, a class has no text, or a text is given twice.
        """
        if not groups:
            raise InputError("the prompts name no class: give {class name: [texts]}")
        texts = [text for group in groups.values() for text in group]
        for name, group in groups.items():
            if not group:
                raise InputError(f"class '{name}' of the prompts has no text: give at least one")
        for text in texts:
            if not text.strip():
                raise InputError("a text of the prompts is empty: write or remove it")
            if texts.count(text) > 1:
                raise InputError(f"the prompts hold '{text}' twice: remove one")
        indices = [index for index, group in enumerate(groups.values()) for _ in group]
        return cls(tuple(groups), tuple(texts), tuple(indices))

    def to_groups(self) -> dict[str, list[str]]:
        """The inverse of :meth:`from_groups`."""
        groups: dict[str, list[str]] = {name: [] for name in self.class_names}
        for text, index in zip(self.texts, self.class_indices, strict=True):
            groups[self.class_names[index]].append(text)
        return groups


DEFAULT_PROMPTS = Prompts.from_groups(PROMPT_GROUPS)


def read_prompts(path: str | os.PathLike) -> Prompts:
    """Read prompts from a JSON file, ``{"class name": ["text", ...], ...}``.

    Raises:
        InputError: the file is absent, not JSON, or of another form.
    """
    content = read_json(path, "prompt file")
    is_sound = isinstance(content, dict) and all(
        isinstance(group, list) and all(isinstance(text, str) for text in group)
        for group in content.values()
    )
    if not is_sound:
        raise InputError(f'prompt file {path} must hold {{"class name": ["text", ...], ...}}')
    try:
        return Prompts.from_groups(content)
    except InputError as error:
        raise InputError(f"prompt file {path}: {error}") from error


@dataclass(frozen=True)
class PromptEmbeddings(Prompts):
    """Prompts and their embeddings by an expert.

    Attributes:
        embeddings: (K, D) float32, each of length 1.
        logit_scale: the expert's own factor from cosine similarity to logit (1 / temperature).
    """

    embeddings: np.ndarray
    logit_scale: float

    @classmethod
    def of(cls, prompts: Prompts, embeddings: np.ndarray, logit_scale: float) -> "PromptEmbeddings":
        """Join prompts with their embeddings."""
        return cls(
            prompts.class_names, prompts.texts, prompts.class_indices, embeddings, logit_scale
        )

    @property
    def class_embeddings(self) -> np.ndarray:
        """(C, D) float32, the mean embedding of each class's texts, scaled to length 1."""
        of_class = np.array(self.class_indices)
        classes = range(len(self.class_names))
        means = np.stack([self.embeddings[of_class == c].mean(axis=0) for c in classes])
        return means / np.linalg.norm(means, axis=1, keepdims=True)

    def assign(self, embeddings: np.ndarray) -> np.ndarray:
        """Zero-shot classification.

        Args:
            embeddings: (N, D), each of length 1.

        Returns:
            (N, C) float32 probabilities: softmax of ``logit_scale`` times the cosine similarity to
            the classes.
        """
        logits = self.logit_scale * (embeddings @ self.class_embeddings.T)
        exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
        return (exponentials / exponentials.sum(axis=1, keepdims=True)).astype(np.float32)
