"""What a model file has inside, for people and programs."""
