"""Training: Keras models made from graphs, the loop, its checkpoints, schedule and history."""
