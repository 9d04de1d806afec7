#!/usr/bin/env python3
"""Convert a raw download of a data set to a COCO tree.

The same as ``medmask convert``; ``--help`` says more.
"""

from medmask.commands.convert import main

if __name__ == "__main__":
    main()
