#!/usr/bin/env python3
"""Export a detector to a file of ONNX, which runs without PyTorch.

The same as ``medmask export``; ``--help`` says more.
"""

from medmask.commands.export import main

if __name__ == "__main__":
    main()
