"""Chooses how many bits the weights of each layer have, before training, by what fewer of them cost."""
