#!/usr/bin/env python3
"""Train an expert in miniature: a tiny CLIP that has learned from generated phantoms.

The same as ``medmask train-phantom-expert``; ``--help`` says more.
"""

from medmask.commands.train_phantom_expert import main

if __name__ == "__main__":
    main()
