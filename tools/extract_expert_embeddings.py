#!/usr/bin/env python3
"""Run a foundation model once over data sets and store what it makes of them, for training.

The same as ``medmask extract-embeddings``; ``--help`` says more.
"""

from medmask.commands.extract_embeddings import main

if __name__ == "__main__":
    main()
