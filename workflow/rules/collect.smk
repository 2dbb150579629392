"""One target a stage, for all experiments."""


rule data:
    input:
        expand(rules.prepare_data.output, dataset=plan.datasets),
    localrule: True


rule pretrained:
    input:
        expand(rules.make_pretrained.output, pretrained=plan.float_models),
    localrule: True


rule compress:
    input:
        plan.of_each_float(*rules.train_int8.output),
    localrule: True


rule export:
    input:
        exports.of(plan.with_float_model()),
    localrule: True


rule optimize:
    input:
        files_of(plan.quantized, *rules.adopt_ready_model.output),
        files_of(plan.with_method("ptq"), *rules.take_ptq_model.output),
        files_of(plan.with_method("qat", "auto"), *rules.optimize_int8.output),
        plan.packed_files(),
    localrule: True


rule microcontroller:
    input:
        plan.of_each(*rules.write_microcontroller.output),
    localrule: True


rule build_demo:
    input:
        [
            path.format(target=target, toolchain=toolchain)
            for target, toolchain in plan.demos
            for path in rules.build_mobile_light.output
        ],
    localrule: True


rule run_demo:
    input:
        plan.of_each(ACCURACY_PASSED),
        plan.on_each_device(*rules.run_on_device.output),
    localrule: True


rule evaluate:
    input:
        plan.of_each(*rules.evaluate_tflite.output),
    localrule: True


rule inspect:
    input:
        plan.of_each_float(*rules.inspect_layers.output),
    localrule: True


rule report:
    input:
        plan.of_each(*rules.make_report.output, *rules.write_config.output),
        plan.of_each(*rules.describe_run.output),
        plan.of_each(ACCURACY_PASSED),
    localrule: True


rule compare:
    input:
        rules.compare_experiments.output,
    localrule: True
