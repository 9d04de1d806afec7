#!/usr/bin/env python3
"""Detect lesions in the mammograms of an archive over DICOMweb, and store the results there.

The same as ``medmask pacs``; ``--help`` says more.
"""

from medmask.commands.pacs import main

if __name__ == "__main__":
    main()
