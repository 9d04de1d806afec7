#!/usr/bin/env python3
"""Receive studies by C-STORE, score them, and send the results back.

The same as ``medmask dicom-node``; ``--help`` says more.
"""

from medmask.commands.dicom_node import main

if __name__ == "__main__":
    main()
