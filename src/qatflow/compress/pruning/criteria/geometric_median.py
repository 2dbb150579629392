"""How far a filter lies from all others of its layer (He et al. 2019, arXiv:1811.00250, equation 6).

The filter nearest to the geometric median of all has the least sum of distances; the others can stand in for it.
"""

import numpy as np
from scipy.spatial.distance import cdist


def geometric_median(filters: np.ndarray) -> np.ndarray:
    """Return the sum of Euclidean distances from each filter to all filters of the layer, float64 [filters]."""
    return cdist(filters, filters).sum(axis=1)
