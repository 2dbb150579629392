"""Names of the nodes of the ready architectures, so that a name can be looked up without TensorFlow."""

import re

from qatflow.graph.layer_texts import is_named

NUMBERED = re.compile(r"[\d_]")
"""What a layer's name can get when it is used again; without it, blocks that repeat have the same names."""

NODE_NAMES = {
    "MobileNetV1": (
        "conv convbn convdw convdwbn convdwrelu convpad convpreds convpw convpwbn convpwrelu convrelu dropout "
        "globalaveragepoolingd input predictions reshape"
    ),
    "MobileNetV2": (
        "Conv Convbn Convrelu blockadd blockdepthwise blockdepthwiseBN blockdepthwiserelu blockexpand "
        "blockexpandBN blockexpandrelu blockpad blockproject blockprojectBN bnConv expandedconvdepthwise "
        "expandedconvdepthwiseBN expandedconvdepthwiserelu expandedconvproject expandedconvprojectBN "
        "globalaveragepoolingd input outrelu predictions predictions/softmax"
    ),
    "MobileNetV3Small": (
        "Conv Conv/BatchNorm Logits Predictions dropout expandedconv/Add expandedconv/depthwise "
        "expandedconv/depthwise/BatchNorm expandedconv/depthwise/pad expandedconv/expand "
        "expandedconv/expand/BatchNorm expandedconv/project expandedconv/project/BatchNorm "
        "expandedconv/squeezeexcite/AvgPool expandedconv/squeezeexcite/Conv expandedconv/squeezeexcite/Mul "
        "expandedconv/squeezeexcite/Relu flatten globalaveragepoolingd input multiply relu tf.math.multiply"
    ),
    "ResNet50": (
        "avgpool convblockadd convblockbn convblockconv convblockout convblockrelu convbn convconv convpad "
        "convrelu input poolpad poolpool predictions predictions/softmax"
    ),
    "EfficientNetB0": (
        "avgpool blockaactivation blockaactivation/sigmoid blockabn blockadwconv blockadwconvpad "
        "blockaexpandactivation blockaexpandactivation/sigmoid blockaexpandbn blockaexpandconv blockaprojectbn "
        "blockaprojectconv blockaseexcite blockaseexpand blockaseexpand/sigmoid blockasereduce "
        "blockasereduce/swish blockasereduce/swish/sigmoid blockasereshape blockasesqueeze blockbactivation "
        "blockbactivation/sigmoid blockbadd blockbbn blockbdrop blockbdwconv blockbexpandactivation "
        "blockbexpandactivation/sigmoid blockbexpandbn blockbexpandconv blockbprojectbn blockbprojectconv "
        "blockbseexcite blockbseexpand blockbseexpand/sigmoid blockbsereduce blockbsereduce/swish "
        "blockbsereduce/swish/sigmoid blockbsereshape blockbsesqueeze blockcactivation blockcactivation/sigmoid "
        "blockcadd blockcbn blockcdrop blockcdwconv blockcexpandactivation blockcexpandactivation/sigmoid "
        "blockcexpandbn blockcexpandconv blockcprojectbn blockcprojectconv blockcseexcite blockcseexpand "
        "blockcseexpand/sigmoid blockcsereduce blockcsereduce/swish blockcsereduce/swish/sigmoid blockcsereshape "
        "blockcsesqueeze blockdactivation blockdactivation/sigmoid blockdadd blockdbn blockddrop blockddwconv "
        "blockdexpandactivation blockdexpandactivation/sigmoid blockdexpandbn blockdexpandconv blockdprojectbn "
        "blockdprojectconv blockdseexcite blockdseexpand blockdseexpand/sigmoid blockdsereduce "
        "blockdsereduce/swish blockdsereduce/swish/sigmoid blockdsereshape blockdsesqueeze input predictions "
        "predictions/softmax stemactivation stemactivation/sigmoid stembn stemconv stemconvpad topactivation "
        "topactivation/sigmoid topbn topconv topdropout"
    ),
}
"""By architecture, without digits and underscores; a name may be missing from a network of other settings."""

HARD_SWISHES = ("MobileNetV3Small",)
"""Architectures with hard-swishes, which have no int16 kernel."""


def unnumbered(name: str) -> str:
    """Return a name, or a part of one, without digits and underscores."""
    return NUMBERED.sub("", name)


def names_no_layer(text: str, network: str) -> bool:
    """Return whether no layer of an architecture can have a name that the text means."""
    return not any(is_named(name, [unnumbered(text)]) for name in NODE_NAMES[network].split())
