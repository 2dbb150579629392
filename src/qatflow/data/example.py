"""One picture as a tf.train.Example, without TensorFlow.

The messages are those of tensorflow/core/example/{example,feature}.proto, built in a separate descriptor pool so that
they never collide with TensorFlow's copies in the same process.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

ENCODED, LABEL, KEY = "image/encoded", "image/class/label", "image/key"
VALUES = "array/float32"
"""In place of `ENCODED`: the values of an array, little-endian, for inputs that are not pictures."""

_Field = descriptor_pb2.FieldDescriptorProto


@dataclass(frozen=True, slots=True)
class Record:
    """The contents of one record of a shard.

    Attributes:
        content: the picture's file, or the values of an array.
        label: index into labels.txt.
        key: of the picture.
        feature: name of the feature that holds the content.
    """

    content: bytes
    label: int
    key: str
    feature: str = ENCODED


def serialise(record: Record) -> bytes:
    """Return the record as a serialised tf.train.Example; the same record gives the same bytes."""
    example = _Example()
    feature = example.features.feature
    feature[record.feature].bytes_list.value.append(record.content)
    feature[LABEL].int64_list.value.append(record.label)
    feature[KEY].bytes_list.value.append(record.key.encode())
    return example.SerializeToString(deterministic=True)


def parse(data: bytes) -> Record:
    """Return the record that `serialise` wrote."""
    feature = features(data)
    holder = ENCODED if ENCODED in feature else VALUES
    return Record(
        content=feature[holder].bytes_list.value[0],
        label=feature[LABEL].int64_list.value[0],
        key=feature[KEY].bytes_list.value[0].decode(),
        feature=holder,
    )


def features(data: bytes) -> Mapping[str, Any]:
    """Return the features of any serialised tf.train.Example, by name; each is a tf.train.Feature message."""
    return _Example.FromString(data).features.feature


def _message_class() -> Any:
    file = descriptor_pb2.FileDescriptorProto(name="qatflow/example.proto", package="qatflow", syntax="proto3")
    for name, kind in (
        ("BytesList", _Field.TYPE_BYTES),
        ("FloatList", _Field.TYPE_FLOAT),
        ("Int64List", _Field.TYPE_INT64),
    ):
        file.message_type.add(name=name).field.add(name="value", number=1, label=_Field.LABEL_REPEATED, type=kind)
    feature = file.message_type.add(name="Feature")
    feature.oneof_decl.add(name="kind")
    for number, name in enumerate(("bytes_list", "float_list", "int64_list"), start=1):
        _add(feature, name, number, f".qatflow.{name.title().replace('_', '')}").oneof_index = 0
    features = file.message_type.add(name="Features")
    entry = features.nested_type.add(name="FeatureEntry")
    entry.options.map_entry = True
    entry.field.add(name="key", number=1, label=_Field.LABEL_OPTIONAL, type=_Field.TYPE_STRING)
    _add(entry, "value", 2, ".qatflow.Feature")
    _add(features, "feature", 1, ".qatflow.Features.FeatureEntry").label = _Field.LABEL_REPEATED
    _add(file.message_type.add(name="Example"), "features", 1, ".qatflow.Features")
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("qatflow.Example"))


def _add(
    message: descriptor_pb2.DescriptorProto, name: str, number: int, kind: str
) -> descriptor_pb2.FieldDescriptorProto:
    return message.field.add(
        name=name, number=number, label=_Field.LABEL_OPTIONAL, type=_Field.TYPE_MESSAGE, type_name=kind
    )


_Example = _message_class()
