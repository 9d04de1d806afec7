#!/usr/bin/env python3
"""FROC analysis of detections: lesion sensitivity per false positive, AUC, F1 and COCO AP.

The same as ``medmask evaluate``; ``--help`` says more.
"""

from medmask.commands.evaluate import main

if __name__ == "__main__":
    main()
