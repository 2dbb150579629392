"""From a source of pictures to data/<name>/: who goes into which split, what is rejected, and the shards."""
