#!/usr/bin/env python3
"""Detect lesions in images: pictures with the detections drawn in, and a COCO-format JSON file.

The same as ``medmask predict``; ``--help`` says more.
"""

from medmask.commands.predict import main

if __name__ == "__main__":
    main()
