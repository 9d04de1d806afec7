#!/usr/bin/env python3
"""Write predictions as DICOM: structured reports, presentation states and pictures.

The same as ``medmask dicom-results``; ``--help`` says more.
"""

from medmask.commands.dicom_results import main

if __name__ == "__main__":
    main()
