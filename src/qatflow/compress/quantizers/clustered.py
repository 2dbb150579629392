"""Clustered kernels: tfmot's weight clustering as a quantiser of kernels.

It runs within tfmot's `QuantizeWrapperV2`, in front of fake quantisation, since that wrapper allows no other wrapper
below it; tfmot's cluster-preserving quantisation does the same.
"""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import tensorflow as tf
from tensorflow_model_optimization.python.core.clustering.keras.cluster_config import (
    CentroidInitialization,
    GradientAggregation,
)
from tensorflow_model_optimization.python.core.clustering.keras.clustering_algorithm import ClusteringAlgorithm
from tensorflow_model_optimization.python.core.clustering.keras.clustering_centroids import CentroidsInitializerFactory

from qatflow.compress.quantizers.weights import WeightQuantizer
from qatflow.config.recipe.sparsity import ClusteringStrategySection


@dataclass
class Clusters:
    """How kernels are clustered, and what the clusters are doing; read when TensorFlow traces them.

    Attributes:
        section: the YAML's settings.
        mode: `none`: pass kernels through; `nearest`: each weight has the value of the nearest cluster; `fixed`: the
            value of the cluster that it was in when this mode began.
    """

    section: ClusteringStrategySection
    mode: Literal["none", "nearest", "fixed"] = "none"


class ClusteredWeight(WeightQuantizer):
    """Gives each weight the value of its cluster, then fake-quantises.

    The first cluster is zero and stays zero: weights that a mask holds at zero, and channels whose kernels are set to
    zero when training ends, need no extra value.
    """

    def __init__(self, clusters: Clusters, quantizer: WeightQuantizer | None):
        """Set up the quantiser.

        Args:
            clusters: how kernels are clustered; shared by all of the model.
            quantizer: of the kernel; None: it stays in float.
        """
        self.clusters = clusters
        self.quantizer = quantizer
        self.state: dict[str, Any] = {}

    def build(self, tensor_shape: Any, name: str, layer: Any) -> dict[str, Any]:
        """Make two variables: the clusters' values, trained with the layer, and each weight's cluster, once fixed."""
        count = self.clusters.section.number_of_clusters
        self.state = {
            "values": layer.add_weight(f"{name}_clusters", shape=[count], initializer="zeros", dtype=tf.float32),
            "places": layer.add_weight(
                f"{name}_places", shape=tensor_shape, initializer="zeros", dtype=tf.uint8, trainable=False
            ),
        }
        return self.state

    @tf.autograph.experimental.do_not_convert
    def __call__(self, inputs: Any, training: bool, weights: dict[str, Any], **kwargs: Any) -> Any:
        """Return the kernel as the layer sees it."""
        clustered = self.clustered(inputs)
        return clustered if self.quantizer is None else self.quantizer(clustered, training, weights={})

    def clustered(self, kernel: Any) -> Any:
        """Return the kernel with the values of its clusters.

        The gradient goes to the weights, which may move to another cluster, and to the clusters' values.
        """
        if self.clusters.mode == "none":
            return kernel
        algorithm = self._algorithm()
        fixed = self.clusters.mode == "fixed"
        places = tf.cast(self.state["places"], tf.int64) if fixed else algorithm.get_pulling_indices(kernel)
        return algorithm.get_clustered_weight(places, kernel)

    def integers(self, kernel: Any) -> tuple[Any, Any]:
        """Return the integers (float32) and the scale that the kernel has now."""
        assert self.quantizer is not None
        return self.quantizer.integers(self.clustered(kernel))

    def begin(self, kernel: np.ndarray) -> None:
        """Set the clusters' values to those that tfmot finds for a kernel."""
        section = self.clusters.section
        count = section.number_of_clusters
        different = np.unique(kernel[kernel != 0])
        if different.size < count:
            centroids = different
        else:
            method = CentroidInitialization[section.initialization.upper()]
            make = CentroidsInitializerFactory.get_centroid_initializer(method)
            centroids = make(tf.constant(kernel), count, preserve_sparsity=True).get_cluster_centroids().numpy()
        values = np.zeros(count, np.float32)  # a cluster without weights stays zero, which changes nothing
        nonzero = centroids[centroids != 0][: count - 1]
        values[1 : 1 + nonzero.size] = nonzero
        self.state["values"].assign(values)

    def fix(self, kernel: Any) -> None:
        """Keep each weight in the cluster that it is in."""
        self.state["places"].assign(tf.cast(self._algorithm().get_pulling_indices(kernel), tf.uint8))

    def get_config(self) -> dict[str, Any]:
        """Return the settings (tfmot's interface)."""
        quantizer = self.quantizer.get_config() if self.quantizer is not None else None
        return {"clusters": self.clusters.section.model_dump(by_alias=True), "quantizer": quantizer}

    def _algorithm(self) -> ClusteringAlgorithm:
        aggregation = GradientAggregation[self.clusters.section.cluster_gradient_aggregation.upper()]
        algorithm = ClusteringAlgorithm(self.state["values"], aggregation)
        # not the variable itself: its gradient would be a list of all weights, and a replica's copy has none in tfmot
        first = tf.one_hot(0, self.clusters.section.number_of_clusters)
        algorithm.cluster_centroids = self.state["values"] * (1.0 - first)
        return algorithm
