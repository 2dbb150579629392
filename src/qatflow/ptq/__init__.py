"""Post-training quantisation: what training for int8 has to beat, and what ships where it is good enough."""
