"""The compress YAML: the Paddle-Lite page's example as it stands, PaddleSlim's grammar, and each refusal."""

import re
from pathlib import Path

import pytest

from helpers.places import ROOT
from qatflow.base.errors import UserError
from qatflow.config.checks import recipe as compress_checks
from qatflow.config.read_recipe import load_compress
from qatflow.config.recipe.recipe import has_int4_storage, undeployable

PAGE = """\
version: 1.0
strategies:
    quantization_strategy:
        class: 'QuantizationStrategy'
        start_epoch: 0
        end_epoch: 9
        float_model_save_path: './output/float'
        mobile_model_save_path: './output/mobile'
        int8_model_save_path: './output/int8'
        weight_bits: 8
        activation_bits: 8
        weight_quantize_type: 'abs_max'
        activation_quantize_type: 'moving_average_abs_max'
        save_in_nodes: ['image']
        save_out_nodes: ['fc_0.tmp_2']
compressor:
    epoch: 10
    checkpoint_path: './checkpoints_quan/'
    strategies:
        - quantization_strategy
"""
"""The example of the Paddle-Lite page, to the letter."""


@pytest.mark.parametrize("preset", sorted((ROOT / "config/compress").glob("*.yaml")), ids=lambda path: path.stem)
def test_a_preset_is_valid_as_it_stands_and_exports_its_last_epoch(preset):
    config = load_compress(preset)
    (quantization,) = config.quantizations().values()
    assert quantization.end_epoch == config.compressor.epoch - 1


@pytest.fixture
def load(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def load(text: str):
        Path("q.yaml").write_text(text, encoding="utf-8")
        return load_compress(Path("q.yaml"))

    return load


@pytest.fixture
def problems(load):
    def problems(text: str) -> list[str]:
        with pytest.raises(UserError) as error:
            load(text)
        return str(error.value).splitlines()[1:]

    return problems


def test_the_page_s_own_example_is_accepted_unchanged(load):
    config = load(PAGE)
    strategy = config.strategies["quantization_strategy"]
    assert config.version == 1.0
    assert config.compressor.model_dump() == {
        "epoch": 10,
        "strategies": ["quantization_strategy"],
        "checkpoint_path": "./checkpoints_quan/",
        "init_model": None,
        "eval_epoch": 1,
    }
    assert strategy.model_dump() == {
        "class_": "QuantizationStrategy",
        "start_epoch": 0,
        "end_epoch": 9,
        "float_model_save_path": "./output/float",
        "mobile_model_save_path": "./output/mobile",
        "int8_model_save_path": "./output/int8",
        "weight_bits": 8,
        "int4_storage": False,
        "auto_bits": None,
        "activation_bits": 8,
        "weight_quantize_type": "abs_max",
        "activation_quantize_type": "moving_average_abs_max",
        "full_range": True,
        "calibration_method": "max",
        "first_weight_scale": "mean",
        "clip_decay": 0.0001,
        "quantizable_op_type": ["conv2d", "depthwise_conv2d", "mul"],
        "skip_pattern": ["skip_quant"],
        "save_in_nodes": ["image"],
        "save_out_nodes": ["fc_0.tmp_2"],
    }


@pytest.mark.parametrize("name", ["quantization", "test"])
def test_the_project_s_own_files_differ_from_the_page_in_epochs_alone(name, load):
    ours = load_compress(ROOT / f"config/compress/{name}.yaml").model_dump()
    page = load(PAGE).model_dump()
    for config in (ours, page):
        del config["compressor"]["epoch"], config["strategies"]["quantization_strategy"]["end_epoch"]
    assert ours == page


def test_the_text_none_is_null_in_any_case(load):
    for none in ("None", "none", "'NONE'", "null"):
        text = PAGE.replace("'./output/mobile'", none).replace("'./output/int8'", none)
        strategy = load(text.replace("'./checkpoints_quan/'", none)).strategies["quantization_strategy"]
        assert strategy.mobile_model_save_path is None
        assert strategy.int8_model_save_path is None


def test_defaults_are_those_of_paddleslim_but_for_what_cannot_be_deployed(load):
    config = load(
        "strategies: {q: {class: QuantizationStrategy, float_model_save_path: out}}\n"
        "compressor: {epoch: 1, strategies: [q]}\n"
    )
    assert config.strategies["q"].model_dump(exclude={"class_", "float_model_save_path"}) == {
        "start_epoch": 0,
        "end_epoch": 0,
        "int8_model_save_path": None,
        "mobile_model_save_path": None,
        "weight_bits": 8,
        "int4_storage": False,
        "auto_bits": None,
        "activation_bits": 8,
        "weight_quantize_type": "abs_max",
        "activation_quantize_type": "moving_average_abs_max",
        "full_range": True,
        "calibration_method": "max",
        "first_weight_scale": "mean",
        "clip_decay": 0.0001,
        "quantizable_op_type": ["conv2d", "depthwise_conv2d", "mul"],
        "skip_pattern": ["skip_quant"],
        "save_in_nodes": None,
        "save_out_nodes": None,
    }
    assert config.compressor.checkpoint_path is None


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("end_epoch: 9", "end_epoch: 10", "q.yaml:6: strategies.quantization_strategy.end_epoch: epoch 10 is never"),
        ("epoch: 10", "epoch: 9", "q.yaml:6: strategies.quantization_strategy.end_epoch: epoch 9 is never reached"),
        ("start_epoch: 0", "start_epoch: 10", "q.yaml:5: strategies.quantization_strategy.start_epoch: must be at"),
        ("'moving_average_abs_max'", "abs_max", "q.yaml:13: .* cannot be deployed: 'abs_max' finds"),
        ("'moving_average_abs_max'", "moving_average_abs_mx", "did you mean 'moving_average_abs_max'"),
        ("weight_bits: 8", "weight_bits: 9", "q.yaml:10: .*weight_bits: cannot be deployed: .* 9 bits.*`export`"),
        ("weight_bits: 8", "weight_bits: 9", "q.yaml:9: .*int8_model_save_path: must be null: 9-bit weights do not f"),
        ("weight_bits: 8", "weight_bits: {a: 9, b: 4}", "q.yaml:10: .*weight_bits: cannot be deployed: .* 9 bits"),
        ("weight_bits: 8", "weight_bits: 1", "q.yaml:10: .*weight_bits: must be a whole number from 2 to 16 or a map"),
        ("weight_bits: 8", "weight_bits: true", "q.yaml:10: .*weight_bits: must be a whole number .*; got true"),
        ("weight_bits: 8", "weight_bits: {a: 17}", "q.yaml:10: .*weight_bits.a: must be a whole number from 2 to 16;"),
        ("weight_bits: 8", "weight_bits: {a: true}", "q.yaml:10: .*weight_bits.a: must be a whole number from 2 to 1"),
        ("weight_bits: 8", "weight_bits: {default: '8'}", "q.yaml:10: .*weight_bits.default: must be a whole number"),
        ("weight_bits: 8", "weight_bits: {'a(': 4}", r"q.yaml:10: .*weight_bits.a\(: is not a regular expression: mi"),
        ("weight_bits: 8", "weight_bits: {'a{2}': 4}", r"q.yaml:10: \S*_strategy.weight_bits.a\{2}: this cannot b"),
        ("activation_bits: 8", "activation_bits: 12", "q.yaml:11: .*activation_bits: cannot be deployed: .* 12 bits"),
        ("activation_bits: 8", "activation_bits: {a: 9}", "q.yaml:11: .*activation_bits: cannot be deployed: .* 9 bi"),
        ("activation_bits: 8", "activation_bits: {'a(': 16}", r"q.yaml:11: .*activation_bits.a\(: is not a regular ex"),
        ("activation_bits: 8", "activation_bits: {a: 17}", "q.yaml:11: .*activation_bits.a: must be a whole number fr"),
        ("weight_bits: 8", "int4_storage: true", "q.yaml:10: .*int4_storage: stores weights of at most 4 bits, .* 8;"),
        ("weight_bits: 8\n        activation_bits: 8", "int4_storage: true\n        weight_bits: {default: 8, a: 4}\n"
         "        activation_bits: {b: 16}", "q.yaml:10: .*int4_storage: cannot go with activations of 16 bits: "),
        ("weight_bits: 8", "weigth_bits: 8", "q.yaml:10: .*weigth_bits: unknown key; .*did you mean 'weight_bits'"),
        ("weight_bits: 8", "weight_bits: '8'", "q.yaml:10: .*weight_bits: must be a whole number .* or a mapping; got"),
        ("- quantization_strategy", "- quantisation_strategy",
         "q.yaml:20: compressor.strategies.0.: 'quantisation_strategy' is not defined .*mean 'quantization_strategy'"),
        ("        - quantization_strategy", "        []", "q.yaml:3: strategies.quantization_strategy: is defined but"),
        ("        - quantization_strategy", "        []", "q.yaml:19: compressor.strategies: lists no strategy"),
        ("        - quantization_strategy", "        [quantization_strategy, quantization_strategy]", "lists .* 2"),
        ("'./output/float'", "/output/float", "q.yaml:7: .*float_model_save_path: '/output/float' is outside"),
        ("'./output/float'", "a/../../b", "q.yaml:7: .*float_model_save_path: 'a/../../b' is outside"),
        ("'./output/float'", "a/..", "q.yaml:7: .*'a/..' is the experiment's folder itself"),
        ("'./checkpoints_quan/'", "../checkpoints", "q.yaml:18: compressor.checkpoint_path: '../checkpoints' is out"),
        ("'./output/mobile'", "./output//float/", "q.yaml:8: .*mobile_model_save_path: 'output/float' is also"),
        ("'./output/int8'", "./output/float/int8", "q.yaml:9: .*int8_model_save_path: .* lies within or around"),
        ("'./checkpoints_quan/'", "output", "q.yaml:18: compressor.checkpoint_path: 'output' lies within or around"),
        ("'QuantizationStrategy'", "'QuantisationStrategy'", "q.yaml:4: .*class: must be .*did you mean 'Quanti"),
        ("'QuantizationStrategy'", "'OneShotStrategy'", 'q.yaml:4: .*class: must be .* or "QuantizationStrategy";'),
        ("    epoch: 10\n", "", "q.yaml:16: compressor.epoch: is missing; a whole number from 1 to 10,000 is req"),
        ("version: 1.0", "version: 2", "q.yaml:1: version: must be 1.0"),
        ("version: 1.0", "version: one", "q.yaml:1: version: must be a number from 0 to 100 or .*; got the text 'one'"),
        ("version: 1.0", "pruners: {p: {class: StructurePruner}}", "q.yaml:1: pruners.p: is defined but no pruning"),
        ("version: 1.0", "strategy: 1", "q.yaml:1: strategy: unknown key; .*did you mean 'strategies'"),
        ("epoch: 10", "epoch: 10\n    init_model: './pruned'", "q.yaml:18: compressor.init_model: the folder ./prun"),
        ("['image']", "[]", "q.yaml:14: .*save_in_nodes: names no node"),
        ("['image']", "image", "q.yaml:14: .*save_in_nodes: must be a list, each item some text .* or null; got"),
        ("['image']", "['{image}']", r"q.yaml:14: .*save_in_nodes\[0\]: must be some text without { and }"),
        ("'abs_max'", "channel_wise_abs_max\n        quantizable_op_type: [mul]",
         "q.yaml:1[23]: .*weight_quantize_type: 'channel_wise_abs_max' has no effect .* dense layer has one"),
        ("'moving_average_abs_max'", "moving_average_min_max\n        full_range: false",
         "q.yaml:1[34]: .*full_range: false has no effect with 'moving_average_min_max'"),
        ("'abs_max'", "channel_wise_lsq\n        quantizable_op_type: [mul]",
         "q.yaml:1[23]: .*weight_quantize_type: 'channel_wise_lsq' has no effect .* use 'lsq', or add"),
        ("'moving_average_abs_max'", "lsq\n        clip_decay: 0.1",
         "q.yaml:1[34]: .*clip_decay: has no effect with 'lsq', which trains no clip"),
        ("'moving_average_abs_max'", "abs_max\n        calibration_method: mse",
         "q.yaml:1[34]: .*calibration_method: 'mse' has no effect with 'abs_max', which finds .* each picture and cal"),
        ("weight_bits: 8", "first_weight_scale: mse",
         "q.yaml:1[02]: .*first_weight_scale: has no effect with 'abs_max', which trains no scale; .*'channel_wise"),
        ("weight_bits: 8", "full_range: 0", "q.yaml:10: .*full_range: must be true or false; got 0"),
        ("weight_bits: 8", "calibration_method: kl",
         "q.yaml:10: .*calibration_method: must be .*\"percentile\", \"mse\".*; got the text 'kl'"),
        ("weight_bits: 8", "quantizable_op_type: []", "q.yaml:10: .*op_type: must be a list of at least one, each"),
        ("weight_bits: 8", "skip_pattern: ['']", r"q.yaml:10: .*skip_pattern\[0\]: must be some text"),
        ("weight_bits: 8", "skip_pattern: &x [a]", "q.yaml:10: strategies.*_strategy.skip_pattern: the anchor"),
        ("weight_bits: 8", "weight_bits: !!int 8", "q.yaml:10: strategies.quantization_strategy.weight_bits: the tag"),
        ("    weight_bits: 8", "\tweight_bits: 8", "q.yaml:10: strategies.*weight_bits: a tab character"),
        ("'./output/float'", "'./out put'", "q.yaml:7: .*float_model_save_path: './out put' has the character ' '"),
        ("'./output/float'", "'a;b'", "q.yaml:7: .*float_model_save_path: 'a;b' has the character ';'"),
        ("'./output/float'", "'./{experiment}'", "q.yaml:7: .*float_model_save_path: must be some text"),
        ("'./output/float'", "./" + "x" * 256, "q.yaml:7: .*float_model_save_path: a name of more than 255 bytes"),

        ("version: 1.0", "include: no.yaml", "q.yaml:1: include: must be a list of file names"),
        ("version: 1.0", "include: [no.yaml]", "q.yaml:1: include.0.: the file no.yaml does not exist"),
        ("version: 1.0", "include: [q.yaml]", "q.yaml:1: include.0.: q.yaml includes this file again: a cycle"),
        ("version: 1.0", "include: [2]", r"q.yaml:1: include\[0\]: must be the name of a file"),
        ("version: 1.0", "include: ['a\\0b']", r"q.yaml:1: include\[0\]: the file "),
        ("version: 1.0", 'include: ["a\\0b"]', r"q.yaml:1: include\[0\]: the file a\\x00b does not exist"),
        ("version: 1.0", "include: [.]", r"q.yaml:1: include\[0\]: \.: cannot be read: Is a directory"),
        ("version: 1.0", "include: [/dev/zero]", r"q.yaml:1: include\[0\]: /dev/zero: cannot be read: it is a device"),
        ("version: 1.0", "include: [huge]", r"q.yaml:1: include\[0\]: huge: larger than 1,000,000 bytes"),
        ("version: 1.0", "include: [loop]", r"q.yaml:1: include\[0\]: loop: cannot be read: Too many levels"),
        ("quantization_strategy:", "'a{b}':", r"q.yaml:3: strategies.a{b}: must be a name of letters"),
        ("weight_bits: 8", "weight_bits: 8\n        weight_bits: 8", "q.yaml:11: .*bits: duplicate key; line 10"),
    ],
)  # fmt: skip
def test_each_mistake_is_refused_with_line_and_key(problems, old, new, expected):
    assert PAGE.count(old) >= 1
    Path("loop").symlink_to("loop")
    with Path("huge").open("wb") as file:
        file.truncate(10**8)

    lines = problems(re.sub(rf"(?<![\w]){re.escape(old)}", lambda _: new, PAGE, count=1))
    assert any(re.match(expected if expected.startswith("q.yaml") else f".*{expected}", line) for line in lines), lines


def test_activations_of_16_bits_go_to_the_device_but_not_with_zero_points(load):
    for written in ("16", "{default: 16, 'conv1': 8}", "{'conv1': 16}"):
        text = PAGE.replace("activation_bits: 8", f"activation_bits: {written}")
        assert not undeployable(load(text).quantization)
        with pytest.raises(
            UserError, match="activation_quantize_type: cannot be deployed: 'moving_average_min_max' has"
        ):
            load(text.replace("moving_average_abs_max", "moving_average_min_max"))


def test_bits_of_weights_are_a_number_or_a_mapping_and_up_to_8_go_to_the_device(load):
    for written, read in (
        ("2", 2),
        ("{}", {}),
        ("{default: 8, 'conv_pw_1[0-3]': 4}", {"default": 8, "conv_pw_1[0-3]": 4}),
    ):
        strategy = load(PAGE.replace("weight_bits: 8", f"weight_bits: {written}")).quantization
        assert strategy.weight_bits == read
        assert not undeployable(strategy)
        assert type(strategy).model_validate_json(strategy.model_dump_json(by_alias=True)) == strategy


def test_storing_as_int4_needs_a_width_of_up_to_4_bits_given_or_to_be_chosen(load):
    for widths in ("weight_bits: 4", "weight_bits: {a: 2}", "auto_bits: {max_drop: 1, widths: [8, 4]}"):
        text = PAGE.replace("weight_bits: 8", f"{widths}\n        int4_storage: true")
        assert has_int4_storage(load(text).quantization)
    with pytest.raises(UserError, match="no layer has fewer than 5; set weight_bits to 4"):
        load(PAGE.replace("weight_bits: 8", "auto_bits: {max_drop: 1, widths: [8, 5]}\n        int4_storage: true"))
    wide = PAGE.replace("weight_bits: 8", "weight_bits: 4\n        int4_storage: true")
    wide = wide.replace("activation_bits: 8", "activation_bits: 16\n        quantizable_op_type: [conv2d, mul]")
    assert has_int4_storage(load(wide).quantization)


def test_all_mistakes_come_at_once(problems):
    text = PAGE.replace("end_epoch: 9", "end_epoch: 12").replace("weight_bits: 8", "weight_bitz: 8")
    text = text.replace("- quantization_strategy", "- quant").replace("'image'", "1")
    assert [line.split(": ")[0] for line in problems(text)] == [f"q.yaml:{line}" for line in (3, 6, 10, 14, 20)]


def test_mistakes_of_files_and_of_what_they_say_come_at_once(problems):
    Path("other.yaml").write_text("compressor: {epochs: 3}\nstrategies: {x: {class: Q}\n")
    lines = problems(
        "include: [no.yaml, other.yaml, q.yaml]\nversion:\t1.0\n" + PAGE.partition("\n")[2] + "quantizers: {}\n"
    )
    assert [" ".join(line.split()[:5]) for line in lines] == [
        "other.yaml:1: compressor.epochs: unknown key; allowed",
        'other.yaml:2: strategies.x.class: must be "DistillationStrategy",',
        "other.yaml:2: strategies: not valid YAML:",
        "q.yaml:1: include[0]: the file no.yaml",
        "q.yaml:1: include[2]: q.yaml includes this",
        "q.yaml:2: version: a tab character;",
        "q.yaml:22: quantizers: qatflow does not",
    ]


def test_the_default_folder_of_checkpoints_is_taken_only_where_it_is_used(problems, load):
    from qatflow.compress.run import CHECKPOINTS

    assert CHECKPOINTS == compress_checks.CHECKPOINTS
    (line,) = problems(PAGE.replace("'./output/int8'", "checkpoints").replace("'./checkpoints_quan/'", "none"))
    assert "int8_model_save_path: 'checkpoints' is a folder that the workflow itself writes" in line
    assert load(PAGE.replace("'./output/int8'", "checkpoints"))


def test_long_chains_of_includes_are_refused(problems):
    for index in range(100):
        Path(f"{index}.yaml").write_text(f"include: [{index + 1}.yaml]\n")
    (line,) = problems("include: [0.yaml]\n" + PAGE)
    assert line == "18.yaml:1: include[0]: more than 20 files; this is not a configuration"


def test_included_files_are_read_first_and_the_including_one_wins(load, tmp_path):
    (tmp_path / "base").mkdir()
    (tmp_path / "base/page.yaml").write_text(PAGE)
    (tmp_path / "base/longer.yaml").write_text("include: [page.yaml]\ncompressor: {epoch: 20, eval_epoch: 2}\n")
    config = load(
        "include: [base/longer.yaml, base/page.yaml]\n"
        "strategies: {quantization_strategy: {end_epoch: 19, int8_model_save_path: none}}\n"
    )
    strategy = config.strategies["quantization_strategy"]
    assert (config.compressor.epoch, config.compressor.eval_epoch, strategy.end_epoch) == (20, 2, 19)
    assert strategy.int8_model_save_path is None
    assert strategy.float_model_save_path == "./output/float"
    assert config.include == []


def test_a_mistake_in_an_included_file_is_reported_there(problems, tmp_path):
    (tmp_path / "base.yaml").write_text(PAGE.replace("activation_bits: 8", "activation_bits: 4"))
    lines = problems("include: [base.yaml]\ncompressor: {epoch: 5}\n")
    assert [line.split(": ")[0] for line in lines] == ["base.yaml:11", "q.yaml:2"]
    assert "end_epoch: epoch 9 is never reached" in lines[1]


def test_a_cycle_through_several_files_is_refused(problems, tmp_path):
    (tmp_path / "a.yaml").write_text("include: [b.yaml]\n")
    (tmp_path / "b.yaml").write_text("version: 1.0\ninclude:\n  - q.yaml\n")
    assert problems("include: [a.yaml]\n" + PAGE) == [
        "b.yaml:3: include[0]: q.yaml includes this file again: a cycle; remove one of the two"
    ]


def test_init_model_is_a_folder_with_a_graph_or_what_an_experiment_trains(load, problems):
    text = PAGE.replace("epoch: 10", "epoch: 10\n    init_model: 'thin'")
    Path("thin").mkdir()
    assert problems(text) == [
        "q.yaml:18: compressor.init_model: the file thin/model does not exist (paths are relative to the folder in "
        "which Snakemake is started); the folder of a model has the files model and weights"
    ]
    for name in ("model", "weights"):
        Path("thin", name).touch()
    assert load(text).compressor.init_model == "thin"
    assert load(text.replace("'thin'", "./results/other/trained/")).compressor.init_model


@pytest.mark.parametrize(
    ("file", "told"),
    [
        ("../s.data", "'../s.data' is outside the experiment's folder; use one within it"),
        ("./output/int8/s.data", "'output/int8/s.data' lies within or around"),
        ("kept/s.data", ""),
    ],
)
def test_a_sensitivities_file_lies_in_the_experiment_s_folder_beside_the_others(load, problems, file, told):
    prune = f"class: SensitivePruneStrategy, pruner: p, sensitivities_file: {file}"
    text = PAGE.replace(
        "strategies:\n", f"pruners: {{p: {{class: StructurePruner}}}}\nstrategies:\n    s: {{{prune}}}\n", 1
    )
    text = text.replace("        - quantization_strategy", "        - s\n        - quantization_strategy")
    if told:
        (line,) = problems(text)
        assert told in line and "s.sensitivities_file" in line
    else:
        assert load(text)


def test_a_recipe_that_no_job_s_command_would_take_is_refused(load, problems):
    def skipping(layers: int) -> str:
        names = ", ".join(f"layer_{number:05d}" for number in range(layers))
        return PAGE.replace("        weight_bits: 8\n", f"        weight_bits: 8\n        skip_pattern: [{names}]\n")

    assert len(load(skipping(6_000)).quantization.skip_pattern) == 6_000
    (line,) = problems(skipping(8_000))
    assert "characters long, and a job takes 100,000; give shorter lists" in line


@pytest.mark.parametrize(("start", "end", "refused"), [(0, 2, False), (1, 2, True), (0, 1, True)])
def test_a_distillation_without_labels_acts_in_all_epochs(start: int, end: int, refused: bool):
    from qatflow.config.checks.distillation import check_distillation
    from qatflow.config.recipe.recipe import CompressConfig

    distil = {"class": "DistillationStrategy", "distillers": ["s"], "start_epoch": start, "end_epoch": end}
    config = CompressConfig.model_validate(
        {
            "distillers": {"s": {"class": "SoftLabelDistiller"}},
            "strategies": {"d": {**distil, "labels": False}},
            "compressor": {"epoch": 2, "strategies": ["d"]},
        }
    )
    problems = [str(problem) for problem in check_distillation(config)]
    assert len(problems) == refused
    assert not refused or "strategies.d.labels: false leaves nothing to learn from" in problems[0]


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ("auto_bits: {}", "max_drop: set one of max_drop, max_bytes and max_latency"),
        ("auto_bits: {max_drop: 1, max_bytes: 9}", "max_drop: set one of max_drop, max_bytes and max_latency"),
        ("auto_bits: {max_latency: 1e6}", "max_latency: leaves nothing to choose: weights of fewer bits take as long"),
        (
            "auto_bits: {max_drop: 1, wide_activations: true}, activation_quantize_type: moving_average_min_max",
            "wide_activations: needs scales without zero points",
        ),
        ("auto_bits: {max_drop: 1, widths: [8, 8]}", "widths: .*names a width twice"),
        ("auto_bits: {max_drop: 1, widths: [9, 8]}", "widths"),
        ("auto_bits: {max_drop: 1}, weight_bits: 4", "weight_bits: .*must be 8, or left out: auto_bits chooses"),
        ("auto_bits: {max_drop: 1}, activation_bits: 16", "activation_bits: .*measures with activations of 8 bits"),
    ],
)
def test_a_choice_of_widths_has_one_limit_and_widths_to_choose_from(load, keys, message):
    text = (
        f"strategies: {{q: {{class: QuantizationStrategy, float_model_save_path: out, {keys}}}}}\n"
        "compressor: {epoch: 1, strategies: [q]}\n"
    )
    with pytest.raises(UserError, match=message):
        load(text)


def test_a_choice_of_widths_is_not_made_for_kernels_that_change_before_training(load):
    text = (
        "pruners: {c: {class: StructurePruner}}\n"
        "strategies:\n"
        "    p: {class: UniformPruneStrategy, pruner: c, pruned_params: '.*'}\n"
        "    q: {class: QuantizationStrategy, float_model_save_path: out, start_epoch: 1, end_epoch: 1,"
        " auto_bits: {max_drop: 1}}\n"
        "compressor: {epoch: 2, strategies: [p, q]}\n"
    )
    with pytest.raises(UserError, match=r"auto_bits.*for other kernels than 'p' leaves"):
        load(text)
