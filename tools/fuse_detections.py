#!/usr/bin/env python3
"""Fuse the detections of several models, or seeds, on the same images to those of one.

The same as ``medmask fuse-detections``; ``--help`` says more.
"""

from medmask.commands.fuse_detections import main

if __name__ == "__main__":
    main()
