"""The packed form of the optimised model, for the download: weights of fewer than 8 bits take only their bits."""

from pathlib import Path

from qatflow.base.errors import UserError
from qatflow.base.files import whole_file
from qatflow.base.sums import read_checked
from qatflow.tflite.packing import pack, unpack


def pack_model(model: Path, output: Path) -> tuple[int, int]:
    """Write the packed form of a .tflite file; return the bytes of both files.

    Args:
        model: the .tflite file.
        output: the file to write.

    Raises:
        UserError: the model has changed since it was written.
    """
    content = read_checked(model)
    packed = pack(content)
    if unpack(packed, str(output)) != content:
        raise UserError(f"{model}: its packed form does not expand to the same bytes; this is a bug")
    with whole_file(output) as temporary:
        temporary.write_bytes(packed)
    return len(content), len(packed)
