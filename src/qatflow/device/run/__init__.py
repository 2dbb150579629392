"""A run of the models on a device."""
