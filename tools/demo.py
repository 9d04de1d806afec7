#!/usr/bin/env python3
"""The method in small, on generated mammograms: stages of training, FROC, pictures, a table.

The same as ``medmask demo``; ``--help`` says more.
"""

from medmask.commands.demo import main

if __name__ == "__main__":
    main()
