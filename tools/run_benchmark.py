#!/usr/bin/env python3
"""Run the stages of a benchmark and their controls over several seeds, and write a table.

The same as ``medmask run-benchmark``; ``--help`` says more.
"""

from medmask.commands.run_benchmark import main

if __name__ == "__main__":
    main()
