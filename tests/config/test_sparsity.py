"""The compress YAML's sections for sparsity and clustering: tfmot's defaults, the presets, and what is refused."""

from pathlib import Path

import pytest

from helpers.places import ROOT
from qatflow.base.errors import UserError
from qatflow.config.read_recipe import load_compress
from qatflow.config.recipe.sparsity import ClusteringStrategySection, SparsityStrategySection

YAML = """\
pruners: {channels: {class: StructurePruner}}
strategies:
    thin: {class: UniformPruneStrategy, pruner: channels, start_epoch: 1}
    sparse:
        class: SparsityStrategy
        start_epoch: 1
        end_epoch: 2
        target_sparsity: 0.5
        m_by_n: null
        schedule: constant
        pruned_params: .*
    clustered:
        class: ClusteringStrategy
        start_epoch: 2
        end_epoch: 3
        number_of_clusters: 16
    int8:
        class: QuantizationStrategy
        start_epoch: 3
        end_epoch: 4
        weight_quantize_type: abs_max
        float_model_save_path: out
compressor:
    epoch: 5
    strategies: [thin, sparse, clustered, int8]
"""


def load(tmp_path: Path, text: str):
    (tmp_path / "q.yaml").write_text(text)
    return load_compress(tmp_path / "q.yaml")


def test_all_of_them_go_together(tmp_path):
    assert load(tmp_path, YAML).clustering.number_of_clusters == 16


@pytest.mark.tensorflow
def test_the_defaults_are_tfmots():
    from tensorflow_model_optimization.python.core.clustering.keras.cluster_config import CentroidInitialization

    sparse = SparsityStrategySection.model_validate({"class": "SparsityStrategy"})
    # ConstantSparsity(0.5, 0), frequency 100: prune_low_magnitude's own
    assert (sparse.schedule, sparse.target_sparsity, sparse.frequency, sparse.m_by_n) == ("constant", 0.5, 100, None)
    clustered = ClusteringStrategySection.model_validate({"class": "ClusteringStrategy"})
    assert clustered.initialization.upper() == CentroidInitialization.KMEANS_PLUS_PLUS.name


@pytest.mark.parametrize(
    ("name", "kinds"),
    [
        ("sparsity", ["SparsityStrategy", "QuantizationStrategy"]),
        ("clustering", ["ClusteringStrategy", "QuantizationStrategy"]),
    ],
)
def test_presets(name, kinds):
    config = load_compress(ROOT / f"config/compress/{name}.yaml")
    assert [config.strategies[one].class_ for one in config.compressor.strategies] == kinds
    assert config.quantization.int8_model_save_path == "./output/int8"


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (
            "target_sparsity: 0.5",
            "target_sparsity: 1.0",
            "q.yaml:8: strategies.sparse.target_sparsity: must be a number",
        ),
        ("m_by_n: null", "m_by_n: [4, 4]", r"q.yaml:9: strategies.sparse.m_by_n: \[4, 4\]: fewer than all 4"),
        ("m_by_n: null", "m_by_n: [1, 4]", "q.yaml:8: strategies.sparse.target_sparsity: must be 0.25, the fraction"),
        ("m_by_n: null", "m_by_n: [2]", "q.yaml:9: strategies.sparse.m_by_n"),
        (
            "m_by_n: null\n        schedule: constant",
            "m_by_n: [2, 4]\n        schedule: polynomial",
            "q.yaml:10: strategies.sparse.schedule: must be constant with m_by_n",
        ),
        ("schedule: constant", "schedule: linear", "q.yaml:10: strategies.sparse.schedule"),
        ("pruned_params: .*", "pruned_params: conv(", "q.yaml:11: .*pruned_params: is not a regular expression: "),
        (
            "start_epoch: 1\n        end",
            "start_epoch: 3\n        end",
            "q.yaml:7: strategies.sparse.end_epoch: must be",
        ),
        (
            "start_epoch: 1\n        end",
            "start_epoch: 0\n        end",
            "q.yaml:6: .*at least 1: 'thin' removes channels",
        ),
        (
            "end_epoch: 2",
            "end_epoch: 4",
            "q.yaml:7: strategies.sparse.end_epoch: must be at most start_epoch of 'int8'",
        ),
        ("end_epoch: 3", "end_epoch: 5", "q.yaml:15: strategies.clustered.end_epoch: epoch 5 is never reached"),
        (
            "start_epoch: 3",
            "start_epoch: 1",
            "q.yaml:14: strategies.clustered.start_epoch: must be at most start_epoch",
        ),
        ("number_of_clusters: 16", "number_of_clusters: 2", "q.yaml:16: .*number_of_clusters: must be a whole number"),
        ("number_of_clusters: 16", "number_of_cluster: 16", "did you mean 'number_of_clusters'"),
        (
            "abs_max",
            "channel_wise_abs_max",
            "q.yaml:21: strategies.int8.weight_quantize_type: must be abs_max with the",
        ),
        ("abs_max", "lsq", "q.yaml:21: strategies.int8.weight_quantize_type: must be abs_max .* trained scale"),
    ],
)
def test_refusals(tmp_path, old, new, expected):
    assert YAML.count(old) == 1
    with pytest.raises(UserError, match=expected):
        load(tmp_path, YAML.replace(old, new))


def test_there_is_one_clustering(tmp_path):
    more = YAML.replace("    int8:\n", "    more: {class: ClusteringStrategy}\n    int8:\n", 1)
    with pytest.raises(
        UserError, match=r"q.yaml:17: strategies.more: only one ClusteringStrategy is allowed, and 'clust"
    ):
        load(tmp_path, more.replace("clustered, int8]", "clustered, more, int8]"))


def test_sparsity_ends_before_clusters_are_fixed(tmp_path):
    text = YAML.replace("end_epoch: 3", "end_epoch: 2").replace("end_epoch: 2\n        t", "end_epoch: 3\n        t")
    with pytest.raises(UserError, match=r"q.yaml:7: .*at most end_epoch of 'clustered' .2.: clusters that are fixed"):
        load(tmp_path, text)


def test_a_schedule_rises(tmp_path):
    text = YAML.replace("schedule: constant", "schedule: polynomial\n        initial_sparsity: 0.6")
    with pytest.raises(UserError, match=r"q.yaml:11: strategies.sparse.initial_sparsity: must be at most"):
        load(tmp_path, text)
