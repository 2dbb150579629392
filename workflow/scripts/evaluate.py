"""Measure float and int8 models on the test pictures and on the host's clock, with LiteRT."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from qatflow.base.argument_types import within
from qatflow.base.cli import entry
from qatflow.config.sections.accuracy import EvaluateSection
from qatflow.config.sections.options import add_section
from qatflow.config.sections.report import ReportSection
from qatflow.evaluate.evaluate import evaluate


def main(argv: Sequence[str]) -> None:
    """Parse the arguments and call the library."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--float", type=Path, help="float .tflite, where there is one", dest="float_model")
    parser.add_argument("--ptq", type=Path, help="int8 .tflite quantised after training, where there is one")
    parser.add_argument("--ready", type=Path, help=".tflite that came quantised, where there is one")
    parser.add_argument("--qat", type=Path, help="int8 .tflite trained for int8, where there is one")
    parser.add_argument("--fake-quant", type=Path, help="what evaluate_fake_quant.py wrote of it")
    parser.add_argument("--data", type=Path, required=True, help="manifest.json of the data")
    parser.add_argument("--cores", type=within(int, 1), default=1, help="processes that run pictures")
    parser.add_argument("--output", type=Path, required=True, help="evaluation.json to write")
    add_section(parser, "evaluate", EvaluateSection)
    add_section(parser, "report", ReportSection)
    arguments = parser.parse_args(argv)
    models = {
        "float": arguments.float_model,
        "ptq": arguments.ptq,
        "qat": arguments.qat,
        "ready": arguments.ready,
    }
    models = {name: path for name, path in models.items() if path is not None}
    evaluate(
        models,
        fake_quant=arguments.fake_quant,
        data=arguments.data,
        output=arguments.output,
        threads=arguments.evaluate.threads,
        repeats=arguments.evaluate.repeats,
        cores=arguments.cores,
        pictures=arguments.report.pictures,
    )


if __name__ == "__main__":
    entry(main)
