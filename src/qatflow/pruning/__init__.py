"""Filter pruning: which channels of a graph matter least, and how many may go.

Pure functions of graphs, used by the pruning strategies and by the search for ratios.
"""
