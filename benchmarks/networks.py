"""Every paper's network against its plain equations, float32, as many threads as torch takes by default.

`python benchmarks/networks.py [NAME …]`; without names, all are measured, and results/networks.json is written.
"""

import sys

from comparison import main

if __name__ == "__main__":
    sys.exit(main("NETWORKS", rounds=3, names=sys.argv[1:]))
