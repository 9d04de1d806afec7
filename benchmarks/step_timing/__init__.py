"""Timing training steps; see ../training_step.py."""
