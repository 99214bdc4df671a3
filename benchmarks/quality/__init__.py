"""How good recommendations are: published protocols on real data, through the recipes' ordinary code."""

import os

# As in trainings; see trainer/__main__.py.
os.environ.update(dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1"))
