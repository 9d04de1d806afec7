#!/usr/bin/env python3
"""Let the views of an exam confirm or deny each other's detections.

The same as ``medmask combine-views``; ``--help`` says more.
"""

from medmask.commands.combine_views import main

if __name__ == "__main__":
    main()
