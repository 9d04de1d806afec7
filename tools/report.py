#!/usr/bin/env python3
"""Write one HTML page about a run, or about several and their differences over patients.

The same as ``medmask report``; ``--help`` says more.
"""

from medmask.commands.report import main

if __name__ == "__main__":
    main()
