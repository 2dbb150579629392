"""Multiply-adds and parameters, against the papers' tables, computed by hand."""

import pytest

from helpers.graphs import small_graph
from qatflow.graph.counts import Count, counts, total

# MobileNetV1 (arXiv:1704.04861, table 1): side of the output, channels read and made, of the 13 separable layers
V1 = [
    (112, 32, 64), (56, 64, 128), (56, 128, 128), (28, 128, 256), (28, 256, 256), (14, 256, 512),
    *[(14, 512, 512)] * 5, (7, 512, 1024), (7, 1024, 1024),
]  # fmt: skip
# MobileNetV2 (arXiv:1801.04381, table 2): expansion, channels, repeats, first stride
V2 = [(1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1)]
# ResNet50 (arXiv:1512.03385, table 1): side of the output, inner channels, blocks
R50 = [(56, 64, 3), (28, 128, 4), (14, 256, 6), (7, 512, 3)]


def v1_multiply_adds() -> int:
    layers = sum(side**2 * (9 * read + read * made) for side, read, made in V1)
    return 112**2 * 27 * 32 + layers + 1024 * 1000


def v2_multiply_adds() -> int:
    found, side, read = 112**2 * 27 * 32, 112, 32
    for expansion, made, repeats, stride in V2:
        for repeat in range(repeats):
            inner = expansion * read
            found += side**2 * read * inner if expansion > 1 else 0
            side //= stride if repeat == 0 else 1
            found += side**2 * inner * (9 + made)
            read = made
    return found + 49 * 320 * 1280 + 1280 * 1000


def r50_multiply_adds() -> int:
    """With the stride in the first convolution of a block, as in the paper (torchvision's has 4.1 G)."""
    found, read = 112**2 * 49 * 3 * 64, 64
    for side, inner, blocks in R50:
        for block in range(blocks):
            found += side**2 * (read * inner + 9 * inner * inner + inner * 4 * inner)
            found += side**2 * read * 4 * inner if block == 0 else 0
            read = 4 * inner
    return found + 2048 * 1000


# published: 569 M and 4.2 M, 300 M and 3.5 M, 3.8 G (paper; 3.86 G) and 25.6 M; Keras' own totals of parameters
PUBLISHED = {
    "MobileNetV1": (v1_multiply_adds, 569e6, 4_253_864),
    "MobileNetV2": (v2_multiply_adds, 300e6, 3_538_984),
    "ResNet50": (r50_multiply_adds, 3.86e9, 25_636_712),
}


@pytest.mark.tensorflow
@pytest.mark.parametrize("name", PUBLISHED)
def test_the_architectures_cost_what_their_papers_say(name: str):
    import tf_keras

    from qatflow.models.architectures import ARCHITECTURES
    from qatflow.models.from_keras import graph_of

    by_hand, published, parameters = PUBLISHED[name]
    tf_keras.backend.clear_session()
    found = total(graph_of(ARCHITECTURES[name]((224, 224, 3), 1000, 1.0, 0.001)))
    assert found == Count(by_hand(), parameters)
    assert found.multiply_adds == pytest.approx(published, rel=0.01)


def test_each_node_of_a_small_graph_costs_what_is_counted_by_hand():
    found = counts(small_graph())
    assert found["conv"] == Count(8 * 8 * 3 * 3 * 2 * 4, 3 * 3 * 2 * 4)
    assert found["dw"] == Count(4 * 4 * 3 * 3 * 4, 3 * 3 * 4)  # 9 × 9 after padding, stride 2, valid
    assert found["left"] == Count(4 * 4 * 4 * 4, 4 * 4 + 4)
    assert found["dw_bn"] == Count(0, 4 * 4)
    assert found["logits"] == Count(4 * 3, 4 * 3 + 3)
    assert found["sum"] == Count(0, 0)
    assert total(small_graph()).parameters == sum(values.size for values in small_graph().weights.values())
