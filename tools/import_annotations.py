#!/usr/bin/env python3
"""Read corrected annotations back into a COCO set.

The same as ``medmask import-annotations``; ``--help`` says more.
"""

from medmask.commands.import_annotations import main

if __name__ == "__main__":
    main()
