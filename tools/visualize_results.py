#!/usr/bin/env python3
"""Draw the detections of an evaluation (boxes with scores) over the lesions (dashed green).

The same as ``medmask visualize-results``; ``--help`` says more.
"""

from medmask.commands.visualize_results import main

if __name__ == "__main__":
    main()
