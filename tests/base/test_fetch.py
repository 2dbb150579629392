import hashlib
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import numpy as np
import pytest

from helpers.little_space import python, run_on_small_disk
from helpers.places import ROOT
from qatflow.base.errors import UserError
from qatflow.base.fetch import fetch
from qatflow.data.sources import idx

CONTENT = np.random.default_rng(0).bytes(300_000)
SUM = hashlib.sha256(CONTENT).hexdigest()


@dataclass
class Server:
    """A loopback server: what it serves by path, how often it breaks off, and what it was asked."""

    files: dict[str, bytes] = field(default_factory=dict)
    status: dict[str, list[int]] = field(default_factory=dict)  # answers before the file is given
    break_off: dict[str, int] = field(default_factory=dict)  # times the body stops half-way
    stall: dict[str, int] = field(default_factory=dict)  # times nothing more comes after half of the body
    whole_only: bool = False  # answers 200 with the whole file, whatever part is asked for
    chunked: bool = False  # tells no length; a broken body lacks its last chunk
    asked: list[tuple[str, str | None]] = field(default_factory=list)
    times: list[float] = field(default_factory=list)  # when, in seconds
    url: str = ""


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")


@pytest.fixture
def server() -> Iterator[Server]:
    state = Server()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            state.asked.append((self.path, self.headers["Range"]))
            state.times.append(time.monotonic())
            if state.status.get(self.path):
                self.send_error(state.status[self.path].pop(0))
                return
            if self.path not in state.files:
                self.send_error(404)
                return
            whole = state.files[self.path]
            wanted = None if state.whole_only else self.headers["Range"]
            start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted else 0
            if start >= len(whole) and start:
                self.send_error(416)
                return
            body = whole[start:]
            self.send_response(206 if start else 200)
            length = ("Transfer-Encoding", "chunked") if state.chunked else ("Content-Length", str(len(body)))
            self.send_header(*length)
            self.end_headers()
            cut = state.break_off.get(self.path, 0) > 0
            stalls = state.stall.get(self.path, 0) > 0
            if cut:
                state.break_off[self.path] -= 1
            if stalls:
                state.stall[self.path] -= 1
            body = body[: len(body) // 2] if cut or stalls else body
            self.close_connection = True
            self.wfile.write(b"%x\r\n%b\r\n" % (len(body), body) if state.chunked else body)
            if state.chunked and not cut:
                self.wfile.write(b"0\r\n\r\n")
            if stalls:
                time.sleep(1)

        def log_message(self, *arguments: object) -> None:
            pass

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    state.url = f"http://127.0.0.1:{http.server_address[1]}"
    yield state
    http.shutdown()
    http.server_close()


def test_a_file_is_downloaded_once(server: Server, tmp_path: Path):
    server.files["/w.h5"] = CONTENT
    for _ in range(2):
        fetch([f"{server.url}/w.h5"], SUM, tmp_path / "new" / "w.h5")
    assert (tmp_path / "new" / "w.h5").read_bytes() == CONTENT
    assert server.asked == [("/w.h5", None)]
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["w.h5"]


def test_an_interrupted_download_is_continued(server: Server, tmp_path: Path):
    server.files["/w"] = CONTENT
    server.break_off["/w"] = 2
    fetch([f"{server.url}/w"], SUM, tmp_path / "w", pause=0)
    assert (tmp_path / "w").read_bytes() == CONTENT
    assert server.asked == [("/w", None), ("/w", "bytes=150000-"), ("/w", "bytes=225000-")]


@pytest.mark.parametrize("have", [CONTENT[:1000], CONTENT, b"other" * 100, CONTENT + b"more"])
def test_what_an_earlier_run_left_is_used_or_replaced(server: Server, tmp_path: Path, have: bytes):
    server.files["/w"] = CONTENT
    (tmp_path / ".w.part").write_bytes(have)
    fetch([f"{server.url}/w"], SUM, tmp_path / "w", pause=0)
    assert (tmp_path / "w").read_bytes() == CONTENT
    assert server.asked[0] == ("/w", f"bytes={len(have)}-")


def test_a_passing_failure_is_tried_again_and_a_lasting_one_is_not(server: Server, tmp_path: Path):
    server.files["/w"] = CONTENT
    server.status["/w"] = [503, 429]
    fetch([f"{server.url}/gone", f"{server.url}/w"], SUM, tmp_path / "w", pause=0)
    assert (tmp_path / "w").read_bytes() == CONTENT
    assert [path for path, _ in server.asked] == ["/gone", "/w", "/w", "/w"]


def test_a_wrong_sum_goes_to_the_mirror_and_is_never_kept(server: Server, tmp_path: Path):
    server.files |= {"/wrong": CONTENT[::-1], "/right": CONTENT}
    with pytest.raises(
        UserError, match=rf"(?s){server.url}/wrong: wrong SHA-256.*expected {SUM}.*or use the local file"
    ):
        fetch([f"{server.url}/wrong"], SUM, tmp_path / "w", instead="use the local file", pause=0)
    assert list(tmp_path.iterdir()) == [] and len(server.asked) == 1
    fetch([f"{server.url}/wrong", f"{server.url}/right"], SUM, tmp_path / "w", pause=0)
    assert (tmp_path / "w").read_bytes() == CONTENT


def test_a_wrong_file_that_is_there_is_replaced(server: Server, tmp_path: Path):
    server.files["/w"] = CONTENT
    (tmp_path / "w").write_bytes(b"old")
    fetch([f"{server.url}/w"], SUM.upper(), tmp_path / "w")
    assert (tmp_path / "w").read_bytes() == CONTENT


def test_a_web_page_in_place_of_the_file_is_told(server: Server, tmp_path: Path):
    server.files["/w"] = b"\n<!DOCTYPE html><html>please log in</html>"
    with pytest.raises(UserError, match=r"/w: received a web page of 42 bytes instead of the file\): .*local path"):
        fetch([f"{server.url}/w"], SUM, tmp_path / "w", pause=0)
    server.files["/w"] = b"<!-- proxy -->\n<head><title>Error</title></head>"
    with pytest.raises(UserError, match="received a web page of 48 bytes"):
        fetch([f"{server.url}/w"], SUM, tmp_path / "w", pause=0)
    assert list(tmp_path.iterdir()) == []


def test_no_network_is_one_message_with_the_address_and_the_way_out(server: Server, tmp_path: Path):
    url = "http://127.0.0.1:9/w"  # nothing listens there
    with pytest.raises(UserError, match=r"could not download w \(http://127.0.0.1:9/w: no connection .*local path"):
        fetch([url], SUM, tmp_path / "w", attempts=2, pause=0)
    with pytest.raises(UserError, match="not an http or https address"):
        fetch(["file:///etc/passwd"], SUM, tmp_path / "w")


def test_a_server_that_always_breaks_off_is_given_up_and_the_part_kept(server: Server, tmp_path: Path):
    server.files["/w"] = CONTENT
    server.break_off["/w"] = 99
    with pytest.raises(UserError, match="broken off after"):
        fetch([f"{server.url}/w"], SUM, tmp_path / "w", attempts=3, pause=0)
    assert not (tmp_path / "w").exists()
    assert CONTENT.startswith((tmp_path / ".w.part").read_bytes())


def test_a_server_that_knows_no_ranges_is_asked_for_the_whole_file(server: Server, tmp_path: Path):
    server.files["/w"], server.whole_only = CONTENT, True
    server.break_off["/w"] = 1
    fetch([f"{server.url}/w"], SUM, tmp_path / "w", pause=0)
    assert (tmp_path / "w").read_bytes() == CONTENT and len(server.asked) == 2


def test_a_body_of_unknown_length_that_breaks_off_is_noticed(server: Server, tmp_path: Path):
    server.files["/w"], server.chunked = CONTENT, True
    server.break_off["/w"] = 99
    with pytest.raises(UserError, match=rf"{server.url}/w: broken off .*or use mine"):
        fetch([f"{server.url}/w"], SUM, tmp_path / "w", instead="use mine", attempts=2, pause=0)
    assert not (tmp_path / "w").exists()
    server.break_off["/w"] = 0
    fetch([f"{server.url}/w"], SUM, tmp_path / "w", pause=0)
    assert (tmp_path / "w").read_bytes() == CONTENT


def test_pauses_double_from_round_to_round(server: Server, tmp_path: Path):
    server.files["/w"], server.status["/w"] = CONTENT, [503, 503, 503]
    fetch([f"{server.url}/w"], SUM, tmp_path / "w", pause=0.1)
    for gap, least in zip(np.diff(server.times), (0.1, 0.2, 0.4), strict=True):
        assert least <= gap < least + 0.1


def test_a_download_that_stalls_is_continued(server: Server, tmp_path: Path):
    server.files["/w"], server.stall["/w"] = CONTENT, 1
    fetch([f"{server.url}/w"], SUM, tmp_path / "w", pause=0, timeout=0.2)
    assert (tmp_path / "w").read_bytes() == CONTENT
    assert server.asked == [("/w", None), ("/w", "bytes=150000-")]


def test_a_server_that_never_answers_is_given_up(tmp_path: Path):
    with socket.create_server(("127.0.0.1", 0)) as silent:  # the kernel accepts, nobody answers
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/w"
        with pytest.raises(UserError, match=rf"\({url}: no data for 0\.2 s\): try again later, or use mine"):
            fetch([url], SUM, tmp_path / "w", instead="use mine", attempts=1, timeout=0.2)
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_short_at_its_origin_is_told_by_its_sum(server: Server, tmp_path: Path):
    server.files["/w"] = CONTENT[:-1]
    with pytest.raises(UserError, match=rf"{server.url}/w: wrong SHA-256: .* of 299999 bytes, expected {SUM}"):
        fetch([f"{server.url}/w"], SUM, tmp_path / "w", pause=0)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "url", ["http://", "http://[::1/w", "http://a b/w", f"http://{'x' * 70}.example/w", "http://127.0.0.1:port/w"]
)
def test_an_address_that_is_none_is_one_message(tmp_path: Path, url: str):
    with pytest.raises(UserError, match=rf"could not download w \({re.escape(url)}: .*or use mine"):
        fetch([url], SUM, tmp_path / "w", instead="use mine", attempts=1)


def test_a_full_disk_is_one_message_with_the_address_and_the_way_out(server: Server, tmp_path: Path):
    server.files["/w"] = CONTENT
    disk, url = tmp_path / "disk", f"{server.url}/w"
    code = f"""
from pathlib import Path; from qatflow.base.fetch import fetch
fetch([{url!r}], {SUM!r}, Path({str(disk / "w")!r}), instead="use mine")
"""
    ran, left = run_on_small_disk(disk, 64, *python(code))
    assert ran.returncode == 1 and ran.stderr.count("\n") == 1
    assert re.fullmatch(
        rf"error: could not download w from {url}: cannot write {disk}/w: "
        r"(No space left on device|File too large): make room on its disk, or use mine\n",
        ran.stderr,
    )
    assert left <= {".w.part"} and len(server.asked) == 1


@pytest.mark.parametrize(("name", "reason"), [("file/w", "file: File exists"), ("folder", "folder: Is a directory")])
def test_a_place_that_cannot_be_written_is_one_message(server: Server, tmp_path: Path, name: str, reason: str):
    server.files["/w"] = CONTENT
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    with pytest.raises(UserError, match=rf"from {server.url}/w: cannot write {tmp_path}/{reason}: .*, or use mine"):
        fetch([f"{server.url}/w"], SUM, tmp_path / name, instead="use mine")
    assert (tmp_path / "file").read_bytes() == b"" and list((tmp_path / "folder").iterdir()) == []


def test_the_program_downloads_and_tells_failures(server: Server, tmp_path: Path):
    server.files["/w"] = CONTENT

    def run(*urls: str) -> subprocess.CompletedProcess:
        script, output = str(ROOT / "workflow/scripts/fetch.py"), str(tmp_path / "w")
        program = [sys.executable, script, "--sha256", SUM, "--output", output]
        options = [option for url in urls for option in ("--url", url)] + ["--instead", "use mine"]
        return subprocess.run([*program, *options], capture_output=True, text=True, check=False)

    failed = run(f"{server.url}/gone")
    assert failed.returncode == 1 and failed.stderr.startswith("error: could not download") and "404" in failed.stderr
    assert failed.stderr.endswith("or use mine\n") and failed.stderr.count("\n") == 1
    assert run(f"{server.url}/gone", f"{server.url}/w").returncode == 0
    assert (tmp_path / "w").read_bytes() == CONTENT


def test_fashion_mnist_is_downloaded_where_debians_folder_is_missing(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    from helpers.idx_files import write_idx

    write_idx(tmp_path / "origin")
    sums = {}
    for path in (tmp_path / "origin").iterdir():
        server.files[f"/{path.name}"] = path.read_bytes()
        sums[path.name] = hashlib.sha256(path.read_bytes()).hexdigest()
    monkeypatch.setattr(idx, "DEBIAN_FOLDER", tmp_path / "not installed")
    monkeypatch.setattr(idx, "FASHION_MNIST_URLS", (f"{server.url}/gone/", f"{server.url}/"))
    monkeypatch.setattr(idx, "FASHION_MNIST_SHA256", sums)
    source = idx.open_idx(None, tmp_path / ".download" / "fashion_mnist")
    assert len(source.pictures) == 10
    assert {path.name for path in (tmp_path / ".download" / "fashion_mnist").iterdir()} == set(sums)


def test_without_its_download_fashion_mnist_names_the_package_and_the_local_path(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(idx, "DEBIAN_FOLDER", tmp_path / "not installed")
    monkeypatch.setattr(idx, "FASHION_MNIST_URLS", (f"{server.url}/gone/",))
    with pytest.raises(
        UserError, match=rf"{server.url}/gone/train-images.* 404 .*dataset-fashion-mnist, or set data\.path to a folder"
    ):
        idx.open_idx(None, tmp_path)


def test_a_file_whose_owner_publishes_an_md5_alone_is_checked_by_that(server: Server, tmp_path: Path):
    server.files["/a.h5"] = CONTENT
    right = hashlib.md5(CONTENT).hexdigest()
    fetch([f"{server.url}/a.h5"], right, tmp_path / "a.h5", algorithm="md5")
    assert (tmp_path / "a.h5").read_bytes() == CONTENT
    with pytest.raises(UserError, match=f"wrong MD5: {right} of 300000 bytes, expected {'0' * 32}"):
        fetch([f"{server.url}/a.h5"], "0" * 32, tmp_path / "b.h5", algorithm="md5", attempts=1)
    assert not (tmp_path / "b.h5").exists()
