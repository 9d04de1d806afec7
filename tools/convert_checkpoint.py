#!/usr/bin/env python3
"""Convert a published checkpoint to one that train.init_checkpoint accepts.

The same as ``medmask convert-checkpoint``; ``--help`` says more.
"""

from medmask.commands.convert_checkpoint import main

if __name__ == "__main__":
    main()
