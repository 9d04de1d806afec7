#!/usr/bin/env python3
"""Calibrate a detector on a labeled set: scores to probabilities, thresholds at given FP/image.

The same as ``medmask calibrate``; ``--help`` says more.
"""

from medmask.commands.calibrate import main

if __name__ == "__main__":
    main()
