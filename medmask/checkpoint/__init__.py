"""Reading and writing checkpoints, our own and published ones."""

from medmask.checkpoint.checkpointer import MedMaskCheckpointer

__all__ = ["MedMaskCheckpointer"]
