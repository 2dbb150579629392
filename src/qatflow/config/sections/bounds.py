"""How large and how small the numbers of a configuration may be: far beyond what anybody needs, so that more is a slip.

Each bound is one that a plan, a schedule and a training still work with. What a number must be within them, because of
the data or of other keys, the checks say.
"""

SEEDS = 2**31
"""Seeds are below this: TensorFlow takes 32 bits with a sign."""
PICTURES = 100_000_000
"""Of a data set; the largest public ones for classification have about 14 million."""
EPOCHS = 10_000
"""Passes over the pictures; published trainings from new weights have at most about 1,000."""
STEPS = 1_000_000
"""Between two things that a training does again and again."""
BATCH = 65_536
"""Pictures a step; the largest batches in publications of image classifiers have 32,768."""
RUNS = 100_000
"""Of one picture that are timed, or come before timing; at 10 ms each these take 17 minutes."""
CHECKPOINTS = 1_000
"""That are kept, each as large as the model with the state of its optimiser."""
LONGEST_SECONDS = 86_400.0
"""Between checkpoints: a day."""
LEAST_RATE = 1e-8
"""Learning rate: with less a float32 weight of 1 does not change by a gradient of 1."""
LARGEST_RATE = 100.0
"""Learning rate; the largest in publications are about 30, for batches of 32,768."""
LARGEST_DECAY = 1.0
"""L2 factor: with more, and a learning rate of 1, weights change their sign at every step."""
LEAST_WIDTH = 1 / 32
"""Width multiplier that leaves one of the 32 channels of a MobileNet's first layer."""
PIXELS = 1_000.0
"""Largest mean, of pixels from 0 to 255."""
LEAST_STD, LARGEST_STD = 0.01, 100_000.0
"""Divisors of such pixels: networks then get values up to 25,500 and down to 0.003."""
DIFFERENCE = 1_000_000.0
"""Between two outputs of a network."""
LEAST_MS, LARGEST_MS = 0.001, 3_600_000.0
"""Time of one picture: a microsecond to an hour."""
GPU_MIB = 4_194_304
"""Memory of a GPU, in MiB: 4 TiB."""
OPERATIONS = 10**15
"""Multiply-adds, or instructions, of one picture."""
LEAST_SHARE = 0.001
"""Share of what is removed: with less nothing is, in most layers."""
LEAST_WEIGHT, LARGEST_WEIGHT = 1e-6, 1e6
"""Of a loss that is added to another."""
LEAST_TEMPERATURE, LARGEST_TEMPERATURE = 0.01, 1_000.0
"""Divisors of logits."""
ANNEALING = 1_000_000.0
"""Temperature of an annealing, whose rewards are shares of 1."""
CANDIDATES = 1_000
"""Of a search: each is a job of the plan, and at a minute each these take 17 hours."""
DRAWS = 100_000
"""Of one candidate."""
CHANNELS = 1_000_000
"""Of one layer."""
