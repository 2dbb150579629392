"""What of a graph is quantised, and how: shared by the trial before training, the searches and training for int8."""
