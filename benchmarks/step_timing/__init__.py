"""Timing training steps; see benchmarks/training_step.py."""
