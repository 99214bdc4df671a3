"""Finding the items of the largest inner products: the port, and its exact and approximate implementations.

Building and calibrating happen where a model is trained, searching where it is served; both need NumPy and Annoy only.
"""

from recipes.retrieval.annoy import AnnoyIndex, build_annoy
from recipes.retrieval.calibration import IndexCalibration, IndexMeasurement, calibrate
from recipes.retrieval.exact import ExactIndex
from recipes.retrieval.interface import ItemIndex

__all__ = [
    "AnnoyIndex",
    "ExactIndex",
    "IndexCalibration",
    "IndexMeasurement",
    "ItemIndex",
    "build_annoy",
    "calibrate",
]
