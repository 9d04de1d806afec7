#!/usr/bin/env python3
"""Train or evaluate a detector that a LazyConfig file describes.

The same as ``medmask train``; ``--help`` says more.
"""

from medmask.commands.train import main

if __name__ == "__main__":
    main()
