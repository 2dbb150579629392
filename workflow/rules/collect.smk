"""One target a stage."""


rule data:
    input:
        expand(rules.prepare_data.output, dataset=CONFIG.data.name),
    localrule: True


rule pretrained:
    input:
        expand(rules.make_pretrained.output, pretrained=CONFIG.pretrained.name),
    localrule: True


rule compress:
    input:
        expand(rules.train_int8.output, experiment=CONFIG.experiment),
    localrule: True


rule export:
    input:
        expand(rules.export_models.output, experiment=CONFIG.experiment),
    localrule: True


rule optimize:
    input:
        expand(
            (
                rules.quantise_after_training.output
                if CONFIG.method == "ptq"
                else rules.optimize_int8.output
            ),
            experiment=CONFIG.experiment,
        ),
    localrule: True


rule build_demo:
    input:
        rules.build_mobile_light.output,
    localrule: True


rule run_demo:
    input:
        expand(
            rules.run_on_device.output,
            experiment=CONFIG.experiment,
            device=CONFIG.device.name,
        ),
    localrule: True


rule evaluate:
    input:
        expand(rules.evaluate_tflite.output, experiment=CONFIG.experiment),
    localrule: True


rule inspect:
    input:
        expand(rules.inspect_layers.output, experiment=CONFIG.experiment),
    localrule: True


rule report:
    input:
        expand(
            [*rules.make_report.output, *rules.write_config.output],
            experiment=CONFIG.experiment,
        ),
    localrule: True
