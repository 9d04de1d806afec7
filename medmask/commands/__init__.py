"""The command line: one file for each command, of which ``tools/`` holds the same by other names.

A parser is made without importing what its command runs, so that ``--help`` answers at once: files
of this package import PyTorch, Detectron2, numpy and OpenCV inside the functions that need them.
"""
