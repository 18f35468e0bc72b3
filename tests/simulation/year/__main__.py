"""`python -m tests.simulation.year`."""

import sys

from tests.simulation.year.explore import main

if __name__ == "__main__":
    sys.exit(main())
