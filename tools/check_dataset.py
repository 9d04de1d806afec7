#!/usr/bin/env python3
"""Check data sets: annotations, images on disk, overlap between splits. Prints all problems.

The same as ``medmask check-data``; ``--help`` says more.
"""

from medmask.commands.check_data import main

if __name__ == "__main__":
    main()
