"""How each layer of Keras becomes nodes of the graph: one file per family, and one table of all."""
