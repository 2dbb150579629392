"""Limits of the numbers in a configuration, far beyond what anybody needs: a number outside them is a typing mistake.

Planning, schedules and training work at each limit. The checks have the narrower limits that follow from the data or
from other keys.
"""

SEEDS = 2**31
"""Seeds are below this: TensorFlow takes signed 32-bit integers."""
PICTURES = 100_000_000
"""Pictures in a data set; the largest public ones for classification have about 14 million."""
EPOCHS = 10_000
"""Passes over the pictures; published trainings from random weights take at most about 1,000."""
STEPS = 1_000_000
"""Training steps between two repetitions of something, like checkpoints."""
BATCH = 65_536
"""Pictures per step; the largest published batches for image classifiers have 32,768."""
RUNS = 100_000
"""Timed runs or warm-up runs of one picture; at 10 ms each they take 17 minutes."""
CHECKPOINTS = 1_000
"""Checkpoints that are kept, each as large as the model with the state of its optimiser."""
LONGEST_SECONDS = 86_400.0
"""A day, between checkpoints."""
LEAST_RATE = 1e-8
"""Learning rate: with a smaller one, a gradient of 1 does not change a float32 weight of 1."""
LARGEST_RATE = 100.0
"""Learning rate; the largest published ones are about 30, for batches of 32,768."""
LARGEST_DECAY = 1.0
"""L2 factor: with a larger one and a learning rate of 1, weights change sign at every step."""
LEAST_WIDTH = 1 / 32
"""Width multiplier that leaves 1 of the 32 channels of a MobileNet's first layer."""
LEAST_SIDE, LARGEST_SIDE = 8, 1024
"""Height or width of the network's input, in pixels."""
LARGEST_AXIS = 65_536
"""Values along an axis of an array: 4 seconds of sound at 16 kHz."""
LARGEST_VALUE = 1e9
"""Mean or standard deviation of the values of arrays, in any unit; the least std is its inverse."""
PIXELS = 1_000.0
"""Largest mean of pixels, which are from 0 to 255."""
LEAST_STD, LARGEST_STD = 0.01, 100_000.0
"""Divisors of pixels: the network's inputs are then up to 25,500 and down to 0.003."""
DIFFERENCE = 1_000_000.0
"""Difference between two outputs of a network."""
LEAST_MS, LARGEST_MS = 0.001, 3_600_000.0
"""Time of one picture, from a microsecond to an hour."""
GPU_MIB = 4_194_304
"""Memory of a GPU in MiB: 4 TiB."""
BYTES = 2**40
"""Bytes of a model or of memory: 1 TiB."""
OPERATIONS = 10**15
"""Multiply-adds or instructions for one picture."""
LEAST_SHARE = 0.001
"""Fraction that is removed: a smaller one removes nothing in most layers."""
LEAST_WEIGHT, LARGEST_WEIGHT = 1e-6, 1e6
"""Weight of a loss that is added to another."""
LEAST_TEMPERATURE, LARGEST_TEMPERATURE = 0.01, 1_000.0
"""Temperatures: divisors of logits."""
ANNEALING = 1_000_000.0
"""Temperature of simulated annealing with rewards from 0 to 1."""
CANDIDATES = 1_000
"""Candidates of a search: each is a job, and at a minute each they take 17 hours."""
DRAWS = 100_000
"""Attempts to draw one candidate."""
CHANNELS = 1_000_000
"""Channels of one layer."""
