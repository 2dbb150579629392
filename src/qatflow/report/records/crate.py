"""The run as an RO-Crate by the profile Workflow Run Crate 0.5: what it read, with what, and what it wrote.

The crate is the folder of the results itself. What lies elsewhere (the pictures, the float weights) is described with
its SHA-256, and is no part of it. Profile: https://www.researchobject.org/workflow-run-crate/profiles/workflow_run_crate/
"""

import getpass
import json
import mimetypes
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from rocrate.model.contextentity import ContextEntity
from rocrate.rocrate import ROCrate

from qatflow.base.files import sha256
from qatflow.base.places import stable_name
from qatflow.report.records.run import NOT_STATED, FinishedRun

PROFILES = {
    "https://w3id.org/ro/wfrun/process/0.5": ("Process Run Crate", "0.5"),
    "https://w3id.org/ro/wfrun/workflow/0.5": ("Workflow Run Crate", "0.5"),
    "https://w3id.org/workflowhub/workflow-ro-crate/1.0": ("Workflow RO-Crate", "1.0"),
}
SNAKEMAKE = "https://w3id.org/workflowhub/workflow-ro-crate#snakemake"
TERMS = "https://w3id.org/ro/terms/workflow-run/context"
"""Defines `sha256`, which RO-Crate 1.1 has not."""
PACKAGE = "pkg:pypi"
"""Begins the names of Python packages by the Package URL specification."""
METADATA = "ro-crate-metadata.json"
WORKFLOW = "Snakefile"
FORMATS = {".md": "text/markdown", ".yaml": "application/yaml", ".tflite": "application/octet-stream"}


def run_crate(run: FinishedRun, outputs: Sequence[Path], workflow: Path, started: str) -> dict[str, Any]:
    """Return the content of ro-crate-metadata.json.

    Args:
        run: the finished run; its summary names the inputs, the versions and the commit.
        outputs: files below its folder.
        workflow: the copy of the Snakefile there.
        started: date and time, ISO 8601.
    """
    crate = ROCrate(version="1.1")
    crate.metadata.extra_contexts.append(TERMS)
    experiment, record = run.summary["experiment"], run.summary["provenance"]
    crate.name = f"{experiment}: a run of qatflow"
    crate.description = run.summary["verdict"]["sentence"]
    crate.root_dataset["datePublished"] = run.summary["made"]
    crate.root_dataset["conformsTo"] = [
        crate.add(ContextEntity(crate, uri, {"@type": "CreativeWork", "name": name, "version": version}))
        for uri, (name, version) in PROFILES.items()
    ]
    crate.metadata["conformsTo"] = [
        {"@id": "https://w3id.org/ro/crate/1.1"},
        {"@id": "https://w3id.org/workflowhub/workflow-ro-crate/1.0"},
    ]
    crate.root_dataset["license"] = _licence(crate, run)
    parameters = dict(_parameters(run))
    formal = [_formal(crate, key, value) for key, value in parameters.items()]
    written = _formal_file(crate, "#outputs", "outputs", "models, figures, pages")
    tools = [
        crate.add(
            ContextEntity(
                crate,
                f"{PACKAGE}/{name}@{version}",
                {"@type": "SoftwareApplication", "name": name, "softwareVersion": version},
            )
        )
        for name, version in record["versions"].items()
    ]
    main = crate.add_file(
        workflow,
        WORKFLOW,
        properties={
            "@type": ["File", "SoftwareSourceCode", "ComputationalWorkflow"],
            "name": "qatflow",
            "description": "From pictures to a measured int8 model on an ARM device.",
            "version": record["commit"] or NOT_STATED,
            "sha256": sha256(workflow),
            "encodingFormat": "text/plain",
        },
    )
    crate.mainEntity = main
    main["programmingLanguage"] = crate.add(
        ContextEntity(
            crate,
            SNAKEMAKE,
            {
                "@type": "ComputerLanguage",
                "name": "Snakemake",
                "identifier": "https://doi.org/10.1093/bioinformatics/bts480",
                "url": "https://snakemake.github.io",
                "version": record["versions"].get("snakemake", NOT_STATED),
            },
        )
    )
    main["softwareRequirements"] = tools
    main["input"], main["output"] = formal, written
    main["conformsTo"] = {"@id": "https://bioschemas.org/profiles/ComputationalWorkflow/1.0-RELEASE"}
    results = [_file(crate, run.folder, path, written) for path in sorted(outputs)]
    settings = [one for one in results if one.id in ("config.yaml", "compress.yaml")]
    action = ContextEntity(
        crate,
        "#run",
        {
            "@type": "CreateAction",
            "name": f"run of qatflow for {experiment}",
            "description": "Start of the first stage to the end of the report; stages of earlier runs are included.",
            "startTime": started,
            "endTime": datetime.fromisoformat(run.summary["made"]).isoformat(timespec="seconds"),
            "actionStatus": f"http://schema.org/{'Completed' if run.ships else 'Failed'}ActionStatus",
        },
    )
    crate.add(action)
    if not run.ships:
        action["error"] = run.summary["verdict"]["sentence"]
    action["instrument"] = main
    agents = _agents(crate, run)
    action["agent"] = crate.root_dataset["author"] = agents if len(agents) > 1 else agents[0]
    action["object"] = [
        *settings,
        *_inputs(crate, run),
        *(_value(crate, key, value, entity) for (key, value), entity in zip(parameters.items(), formal, strict=True)),
    ]
    action["result"] = [one for one in results if one not in settings]
    crate.root_dataset["mentions"] = action
    content: dict[str, Any] = crate.metadata.generate()
    return content


def _licence(crate: ROCrate, run: FinishedRun) -> ContextEntity:
    """Return the licence that the configuration names, or that none is stated."""
    words, url = run.card["licence"], run.card["licence_url"]
    about = {"@type": "CreativeWork", "name": words or NOT_STATED}
    if words is None:
        about["description"] = "The licence of the model is not stated: ask whoever made it."
    return crate.add(ContextEntity(crate, url or "#licence", about))


def _agents(crate: ROCrate, run: FinishedRun) -> list[ContextEntity]:
    """Return who ran it: the authors that the configuration names, or else the user of this machine."""
    names = run.card["authors"] or [_user()]
    return [
        crate.add(ContextEntity(crate, f"#agent-{number}", {"@type": "Person", "name": name}))
        for number, name in enumerate(names, 1)
    ]


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user may have no name
        return NOT_STATED


def _parameters(run: FinishedRun) -> Iterator[tuple[str, Any]]:
    yield from _flat(run.config, "")
    yield from _flat(run.recipe, "compress.yaml: ")


def _flat(values: Mapping[str, Any], above: str) -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, dict) and value:
            yield from _flat(value, f"{above}{key}.")
        else:
            yield f"{above}{key}", value


def _identifier(key: str) -> str:
    return key.replace(": ", "/").replace(" ", "-")


TYPES = {bool: "Boolean", int: "Integer", float: "Float"}


def _formal(crate: ROCrate, key: str, value: Any) -> ContextEntity:
    values = {"@type": "FormalParameter", "name": key, "additionalType": TYPES.get(type(value), "Text")}
    return crate.add(ContextEntity(crate, f"#parameter-{_identifier(key)}", values | _BIOSCHEMAS))


_BIOSCHEMAS = {"conformsTo": {"@id": "https://bioschemas.org/profiles/FormalParameter/1.0-RELEASE"}}


def _formal_file(crate: ROCrate, identifier: str, name: str, description: str) -> ContextEntity:
    values = {"@type": "FormalParameter", "name": name, "description": description, "additionalType": "File"}
    return crate.add(ContextEntity(crate, identifier, values | _BIOSCHEMAS))


def _value(crate: ROCrate, key: str, value: Any, formal: ContextEntity) -> ContextEntity:
    plain = value if isinstance(value, str | int | float) and not isinstance(value, bool) else json.dumps(value)
    entity = ContextEntity(crate, f"#value-{_identifier(key)}", {"@type": "PropertyValue", "name": key, "value": plain})
    crate.add(entity)
    entity["exampleOfWork"] = formal
    return entity


def _inputs(crate: ROCrate, run: FinishedRun) -> Iterator[ContextEntity]:
    """Yield what the figures come from and lies outside of the results; within them it is a file of the crate."""
    own = f"{stable_name(run.folder)}/"
    data = run.summary["data"]
    about = {"description": f"{data['origin']} Licence: {data['licence'] or NOT_STATED}."} if data else {}
    for path, digest in run.summary["provenance"]["inputs"].items():
        if not path.startswith(own):
            values = {"@type": "CreativeWork", "name": path, "sha256": digest}
            yield crate.add(ContextEntity(crate, f"#{path}", values | (about if path.startswith("data/") else {})))


def _file(crate: ROCrate, folder: Path, path: Path, formal: ContextEntity) -> Any:
    kind = FORMATS.get(path.suffix) or mimetypes.guess_type(path.name)[0] or "text/plain"
    entity = crate.add_file(
        path,
        path.relative_to(folder).as_posix(),
        properties={
            "name": path.name,
            "sha256": sha256(path),
            "contentSize": str(path.stat().st_size),
            "encodingFormat": kind,
        },
    )
    entity["exampleOfWork"] = formal
    return entity
