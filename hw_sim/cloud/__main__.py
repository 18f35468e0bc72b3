"""`python -m hw_sim.cloud`: the simulated cloud by itself."""

import sys

from hw_sim.cloud.main import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
