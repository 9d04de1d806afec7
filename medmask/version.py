"""The version of the package; it stands nowhere else."""

__version__ = "0.2.0"
