"""One target a stage, for all experiments."""


rule data:
    input:
        expand(rules.prepare_data.output, dataset=OF["dataset"]),
    localrule: True


rule pretrained:
    input:
        expand(rules.make_pretrained.output, pretrained=OF["pretrained"]),
    localrule: True


rule compress:
    input:
        of_each_made_here(*rules.train_int8.output),
    localrule: True


rule export:
    input:
        [path for name in CONFIGS if name not in READY for path in exported_of(name)],
    localrule: True


rule optimize:
    input:
        [
            path.format(experiment=name)
            for name, config in CONFIGS.items()
            for path in (
                rules.adopt_ready_model.output
                if name in READY
                else (
                    rules.take_ptq_model.output
                    if config.method == "ptq"
                    else rules.optimize_int8.output
                )
            )
        ],
    localrule: True


rule build_demo:
    input:
        [
            path.format(target=target, toolchain=toolchain)
            for target, toolchain in DEMOS
            for path in rules.build_mobile_light.output
        ],
    localrule: True


rule run_demo:
    input:
        of_each(ACCURACY_PASSED),
        on_each_device(*rules.run_on_device.output),
    localrule: True


rule evaluate:
    input:
        of_each(*rules.evaluate_tflite.output),
    localrule: True


rule inspect:
    input:
        of_each_made_here(*rules.inspect_layers.output),
    localrule: True


rule report:
    input:
        of_each(*rules.make_report.output, *rules.write_config.output),
        of_each(ACCURACY_PASSED),
    localrule: True


rule compare:
    input:
        rules.compare_experiments.output,
    localrule: True
