"""How far a filter lies from all others of its layer (He et al. 2019, arXiv:1811.00250, equation 6).

The filter nearest to the geometric median of all has the least sum of distances; the others can stand in for it.
"""

import numpy as np


def geometric_median(filters: np.ndarray) -> np.ndarray:
    """Return the sum of Euclidean distances from each filter to all filters of the layer, float64 [filters]."""
    squares = (filters**2).sum(axis=1)
    # |a − b|² = a² + b² − 2ab, one matrix product; of equal filters rounding leaves about 1e-8 of their length
    distances = np.maximum(squares[:, None] + squares - 2 * filters @ filters.T, 0)
    return np.sqrt(distances).sum(axis=1)
