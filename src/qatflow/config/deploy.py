"""Which settings can be trained and exported to float/, but run on no device."""

from qatflow.config.recipe.recipe import QuantizationStrategySection


def undeployable(strategy: QuantizationStrategySection) -> dict[str, str]:
    """Return the reason by the strategy's key, for each setting that no int8 kernel executes; empty: all is well."""
    reasons = {}
    if strategy.activation_quantize_type == "abs_max":
        reasons["activation_quantize_type"] = (
            "'abs_max' finds the scale of the activations anew for each picture, which costs time on the device, and "
            "no int8 kernel there does it; use 'moving_average_abs_max' or 'range_abs_max'"
        )
    for key, bits in (("weight_bits", strategy.weight_bits), ("activation_bits", strategy.activation_bits)):
        if bits != 8:
            reasons[key] = f"the device's kernels are int8, there are none for {bits} bits"
    return reasons
