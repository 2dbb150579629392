"""The compression strategies of PaddleSlim, and some beyond it: what happens in which epoch of a training."""
