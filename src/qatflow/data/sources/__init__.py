"""Where pictures come from. `table.py` has the sources by name, `source.py` the interface that each of them has."""
