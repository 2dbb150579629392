"""What goes with the results to others: the run as an RO-Crate, and the model card."""
