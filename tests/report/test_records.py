"""The run as an RO-Crate, and the model card: by the files that they describe, and by rocrate and its validator."""

import hashlib
import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar

import pytest
import yaml
from rocrate.rocrate import ROCrate

from helpers import crate_contexts
from helpers.report_files import CLOSED, results
from helpers.scripts import load_script
from qatflow.base.sums import read_sealed
from qatflow.config.sections.base import resolved
from qatflow.config.sections.config import Config
from qatflow.config.written import as_written, config_yaml

RECIPE = {"version": 1.0, "strategies": {"q": {"class": "QuantizationStrategy", "weight_bits": 8}}}


def settings(folder: Path, **card: Any) -> None:
    values = as_written(Config(experiment=folder.name)) | {"model_card": resolved(Config().model_card) | card}
    (folder / "config.yaml").write_text(config_yaml(values))
    (folder / "compress.yaml").write_text(yaml.safe_dump(RECIPE))


def arguments(folder: Path, ending: str = "opt") -> list[str]:
    named = {"summary": "summary.json", "config": "config.yaml", "recipe": "compress.yaml"}
    options = [word for name, file in named.items() for word in (f"--{name}", str(folder / file))]
    return [*options, "--model", str(folder / f"{folder.name}_{ending}/model.tflite")]


def crate_of(folder: Path, started: float = 1_700_000_000.0) -> dict[str, Any]:
    """Describe a run of which a stage of 30 s ended at a time; return the content of the file."""
    stage = folder / "stage.jsonl"
    stage.write_text('{"s": 4.0}\n{"s": 30.0}\n')
    os.utime(stage, (started + 30, started + 30))
    snakefile = folder.parent / "Snakefile.original"
    snakefile.write_text("rule all:\n")
    files = [str(folder / name) for name in ("evaluation.json", "gate.json", "layers.json")]
    load_script("run_crate").main(
        [*arguments(folder), "--files", *files, "--stages", str(stage), str(folder / "gone.jsonl"), "--workflow",
         str(snakefile), "--output", str(folder / "ro-crate-metadata.json")]
    )  # fmt: skip
    return json.loads((folder / "ro-crate-metadata.json").read_text())


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    place = results(tmp_path_factory.mktemp("records"), "one", gate=None)
    settings(place, licence="MIT", licence_url="https://opensource.org/license/mit", authors=["Ada", "Bob"])
    return place


@pytest.fixture(scope="module")
def crate(folder) -> dict[str, dict[str, Any]]:
    return {entity["@id"]: entity for entity in crate_of(folder)["@graph"]}


def ids(value: Any) -> list[str]:
    return [one["@id"] for one in (value if isinstance(value, list) else [value])]


def test_it_is_a_workflow_run_crate_by_the_rules_of_the_profiles(crate):
    """Each MUST of Process Run Crate, Workflow Run Crate and Workflow RO-Crate that is about these entities."""
    root, run = crate["./"], crate["#run"]
    assert {"https://w3id.org/ro/wfrun/process/0.5", "https://w3id.org/ro/wfrun/workflow/0.5"} <= set(
        ids(root["conformsTo"])
    )
    assert all(crate[uri]["@type"] == "CreativeWork" and crate[uri]["version"] for uri in ids(root["conformsTo"]))
    main = crate[root["mainEntity"]["@id"]]
    assert set(main["@type"]) == {"File", "SoftwareSourceCode", "ComputationalWorkflow"}
    assert crate[main["programmingLanguage"]["@id"]]["name"] == "Snakemake"
    assert run["@type"] == "CreateAction" and ids(root["mentions"]) == ["#run"]
    assert ids(run["instrument"]) == [main["@id"]]
    assert {entity["name"] for entity in map(crate.__getitem__, ids(run["agent"]))} == {"Ada", "Bob"}
    assert run["actionStatus"] == "http://schema.org/CompletedActionStatus"
    assert all(crate[uri]["softwareVersion"] for uri in ids(main["softwareRequirements"]))


def test_each_file_is_there_with_its_checksum_and_so_is_each_input_from_elsewhere(crate, folder):
    files = ids(crate["./"]["hasPart"])
    assert {"one_opt/model.tflite", "summary.json", "evaluation.json", "config.yaml", "Snakefile"} <= set(files)
    for name in files:
        content = (folder / name).read_bytes()
        assert crate[name]["sha256"] == hashlib.sha256(content).hexdigest()
    inputs = read_sealed(folder / "summary.json")["provenance"]["inputs"]
    elsewhere = {path: digest for path, digest in inputs.items() if not path.startswith(f"{folder}/")}
    described = {entity["name"]: entity["sha256"] for entity in map(crate.__getitem__, ids(crate["#run"]["object"]))
                 if entity["@type"] == "CreativeWork"}  # fmt: skip
    assert described == elsewhere and len(elsewhere) >= 2
    assert set(ids(crate["#run"]["result"])) == set(files) - {"config.yaml", "compress.yaml", "Snakefile"}


def test_each_setting_is_a_parameter_of_the_workflow_with_its_value(crate):
    values = {entity["name"]: entity for entity in map(crate.__getitem__, ids(crate["#run"]["object"]))
              if entity["@type"] == "PropertyValue"}  # fmt: skip
    assert values["seed"]["value"] == 1 and values["method"]["value"] == "qat"
    assert values["compress.yaml: strategies.q.weight_bits"]["value"] == 8
    assert values["compress.freeze_batch_norm"]["value"] == "false"
    parameters = set(ids(crate["Snakefile"]["input"]))
    assert {value["exampleOfWork"]["@id"] for value in values.values()} == parameters
    assert all(crate[parameter]["@type"] == "FormalParameter" for parameter in parameters)


def test_it_has_the_times_the_licence_and_another_status_behind_a_closed_gate(crate, folder, tmp_path):
    run = crate["#run"]
    assert run["startTime"] == datetime.fromtimestamp(1_700_000_000, UTC).isoformat()
    made = datetime.fromisoformat(read_sealed(folder / "summary.json")["made"])
    assert datetime.fromisoformat(run["endTime"]) == made
    assert crate[crate["./"]["license"]["@id"]]["name"] == "MIT"
    closed = results(tmp_path, "two", gate=CLOSED)
    settings(closed)
    other = {entity["@id"]: entity for entity in crate_of(closed)["@graph"]}
    assert other["#run"]["actionStatus"] == "http://schema.org/FailedActionStatus" and other["#run"]["error"]
    assert other[other["./"]["license"]["@id"]]["name"] == "not stated"


def test_rocrate_reads_it_and_finds_every_file(crate, folder):
    read = ROCrate(folder)
    assert read.mainEntity.id == "Snakefile"
    assert {entity.id for entity in read.data_entities} == set(ids(crate["./"]["hasPart"]))


def test_its_validator_finds_no_fault(crate, folder, monkeypatch):
    """Without a network: the two contexts are served from `helpers.crate_contexts`."""
    from rocrate_validator import services  # takes 2 s, and no other test needs it
    from rocrate_validator.utils import document_loader, http

    context = {"@context": crate_contexts.terms({"@graph": list(crate.values())})}

    class Answer:
        status_code, ok, text = 200, True, json.dumps(context)
        content = text.encode()
        headers: ClassVar = {"Content-Type": "application/ld+json"}

        def json(self) -> dict[str, Any]:
            return json.loads(self.text)

    monkeypatch.setattr(document_loader, "_fetch_json_ld", lambda url: context)
    for name in ("get", "head"):
        monkeypatch.setattr(http.HttpRequester, name, lambda self, url, *more, **named: Answer(), raising=False)
    about = {"rocrate_uri": str(folder), "profile_identifier": "workflow-run-crate-0.5"}
    result = services.validate(services.ValidationSettings.parse({**about, "requirement_severity": "REQUIRED"}))
    assert [(issue.check.identifier, issue.message) for issue in result.get_issues()] == []


def card(folder: Path, ending: str = "opt") -> str:
    output = folder / f"{folder.name}_{ending}/MODEL_CARD.md"
    options = [*arguments(folder, ending), "--evaluation", str(folder / "evaluation.json"), "--output", str(output)]
    load_script("model_card").main(options)
    return output.read_text()


def test_the_card_has_the_figures_with_their_intervals_the_data_and_the_licence(folder):
    text = card(folder)
    evaluation = read_sealed(folder / "evaluation.json")["models"]
    drop = evaluation["qat"]["against_float"]
    (row,) = (line for line in text.splitlines() if line.startswith("| this model"))
    shown = [cell.strip().replace("−", "-") for cell in row.split("|")[1:-1]]
    assert shown[1] == f"{100 * evaluation['qat']['top1']:.2f}"
    assert float(shown[3]) == pytest.approx(-drop["points"], abs=0.005)
    assert [float(end) for end in shown[4].split(" … ")] == pytest.approx([-drop["high"], -drop["low"]], abs=0.005)
    model = folder / "one_opt/model.tflite"
    assert hashlib.sha256(model.read_bytes()).hexdigest() in text
    assert "* Licence of the model: MIT (<https://opensource.org/license/mit>)" in text
    assert "* Licence of the data: none" in text and "* Authors: Ada, Bob" in text and "* Contact: not stated" in text
    assert "* Training of int8: 4 epochs; epoch 2 is exported" in text
    assert "## Intended use\n\nNot stated." in text


def test_the_card_of_a_model_that_came_quantised_names_no_training(tmp_path):
    place = results(tmp_path, "three", gate=None, shipped="ready")
    settings(place, intended_use="Sorting of fruit.", limits="Fails in the dark.")
    text = card(place, "ready")
    assert "The model came trained and quantised." in text and "| float |" not in text
    assert "## Intended use\n\nSorting of fruit." in text and "Fails in the dark." in text
    assert "* Licence of the model: not stated" in text
