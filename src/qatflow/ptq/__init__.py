"""Post-training quantisation: the baseline that training for int8 has to beat."""
