"""Every paper's layers against the plain equations, float32, as many threads as torch takes by default.

`python benchmarks/layers.py [NAME …]`; without names, all are measured, and results/layers.json is written.
"""

import sys

from comparison import main

if __name__ == "__main__":
    sys.exit(main("LAYERS", rounds=15, names=sys.argv[1:]))
