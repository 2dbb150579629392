"""Training: Keras models of graphs, one step, the loop of epochs, checkpoints and history."""
