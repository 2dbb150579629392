"""The learning rate by step."""

import math
from typing import Any

import tensorflow as tf
import tf_keras


class WarmupCosine(tf_keras.optimizers.schedules.LearningRateSchedule):
    """Linear warm-up to the peak, then half a cosine down to zero (Loshchilov & Hutter 2017, arXiv:1608.03983)."""

    def __init__(self, peak: float, warmup_steps: int, total_steps: int):
        self.peak = peak
        self.warmup_steps = warmup_steps
        self.total_steps = total_steps

    def __call__(self, step: Any) -> Any:
        """Return the rate of step `step` (an integer tensor), float32."""
        done = tf.cast(step, tf.float32)
        rising = self.peak * (done + 1.0) / max(self.warmup_steps, 1)
        share = (done - self.warmup_steps) / max(self.total_steps - self.warmup_steps, 1)
        falling = self.peak * 0.5 * (1.0 + tf.cos(math.pi * tf.clip_by_value(share, 0.0, 1.0)))
        return tf.where(done < self.warmup_steps, rising, falling)

    def get_config(self) -> dict[str, Any]:
        """Return the settings (Keras' interface)."""
        return {"peak": self.peak, "warmup_steps": self.warmup_steps, "total_steps": self.total_steps}
