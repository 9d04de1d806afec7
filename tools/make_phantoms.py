#!/usr/bin/env python3
"""Generate phantom mammograms: COCO data sets of two scanner domains, film and ffdm.

The same as ``medmask make-phantoms``; ``--help`` says more.
"""

from medmask.commands.make_phantoms import main

if __name__ == "__main__":
    main()
