#!/usr/bin/env python3
"""Average the weights of a stage and of what it started from, or of several stages of one start.

The same as ``medmask average-weights``; ``--help`` says more.
"""

from medmask.commands.average_weights import main

if __name__ == "__main__":
    main()
