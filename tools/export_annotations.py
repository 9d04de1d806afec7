#!/usr/bin/env python3
"""Write images and pre-annotations for readers.

The same as ``medmask export-annotations``; ``--help`` says more.
"""

from medmask.commands.export_annotations import main

if __name__ == "__main__":
    main()
