"""A stand-in for Kubernetes' API: a Job's command is run here, in an empty folder and with a pod's bare environment."""

import json
import re
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

KUBECONFIG = """\
apiVersion: v1
kind: Config
clusters: [{{name: here, cluster: {{server: "http://127.0.0.1:{port}"}}}}]
contexts: [{{name: here, context: {{cluster: here, user: me}}}}]
users: [{{name: me, user: {{}}}}]
current-context: here
"""


@dataclass
class Kubernetes:
    """What was asked of it.

    Attributes:
        configuration: the file for KUBECONFIG.
        jobs: each Job's specification, in order.
        running: their processes, by name.
    """

    configuration: Path
    jobs: list[dict[str, Any]] = field(default_factory=list)
    running: "dict[str, subprocess.Popen[bytes]]" = field(default_factory=dict)


@contextmanager
def kubernetes(folder: Path, environment: dict[str, str]) -> Iterator[Kubernetes]:
    """Serve on loopback; pods start in an empty folder below `folder`, with `environment` and nothing else."""
    cluster = Kubernetes(folder / "kubeconfig")
    (folder / "workdir").mkdir()

    class Handler(BaseHTTPRequestHandler):
        def answer(self, value: dict[str, Any]) -> None:
            body = json.dumps(value).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def asked(self) -> dict[str, Any]:
            return json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)) or b"{}")

        def do_POST(self) -> None:
            asked = self.asked()
            if self.path.endswith("/jobs"):
                cluster.jobs.append(asked)
                container = asked["spec"]["template"]["spec"]["containers"][0]
                cluster.running[asked["metadata"]["name"]] = subprocess.Popen(
                    [*container["command"], *container["args"]], cwd=folder / "workdir", env=environment,
                    stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                )  # fmt: skip
            self.answer(asked)

        def do_GET(self) -> None:
            if "/pods" in self.path:
                self.answer({"items": []})
                return
            status = cluster.running[re.findall(r"/jobs/([^/?]+)", self.path)[0]].poll()
            key = {None: "active", 0: "succeeded"}.get(status, "failed")
            self.answer({"status": {key: 1}})

        def do_DELETE(self) -> None:
            self.asked()
            self.answer({})

        def log_message(self, *_: Any) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    cluster.configuration.write_text(KUBECONFIG.format(port=server.server_port))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield cluster
    finally:
        server.shutdown()
        server.server_close()
        for process in cluster.running.values():
            process.kill()
            process.wait()
