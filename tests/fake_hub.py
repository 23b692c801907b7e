"""A Hugging Face Hub on this machine: the few routes that huggingface_hub needs to create, commit, look up and download."""

import base64
import hashlib
import json
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

import pytest

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@dataclass
class Repository:
    """files: of each revision, by name. private: as it was created."""

    private: bool
    files: dict[str, dict[str, bytes]] = field(default_factory=lambda: {"main": {}})


class FakeHub:
    """repositories: by OWNER/NAME. requests: (method, path) of all that was asked. refuse: a status that every request gets."""

    def __init__(self) -> None:
        self.repositories: dict[str, Repository] = {}
        self.requests: list[tuple[str, str]] = []
        self.stored: dict[str, bytes] = {}
        self.refuse: int | None = None
        hub = self

        class Handler(_Handler):
            pass

        Handler.hub = hub
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self.thread.start()

    def stop(self) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


class _Handler(BaseHTTPRequestHandler):
    hub: FakeHub

    def do_POST(self) -> None:
        content = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        path = self._begun("POST")
        if path is None:
            return
        if path == "/api/repos/create":
            asked = json.loads(content)
            name = f"{asked['organization']}/{asked['name']}"
            self.hub.repositories[name] = Repository(asked.get("visibility") == "private" or bool(asked.get("private")))
            self._answer({"url": f"{self.hub.url}/{name}"})
        elif path == "/api/validate-yaml":
            self._answer({"errors": [], "warnings": []})
        elif path.endswith("/preupload/main"):
            files = json.loads(content)["files"]
            modes = [{"path": file["path"], "uploadMode": _mode(file["path"]), "shouldIgnore": False} for file in files]
            self._answer({"files": modes})
        elif path.endswith(".git/info/lfs/objects/batch"):
            objects = json.loads(content)["objects"]
            actions = [{**one, "actions": {"upload": {"href": f"{self.hub.url}/stored/{one['oid']}"}}} for one in objects]
            self._answer({"transfer": "basic", "objects": actions})
        elif path.endswith("/commit/main"):
            self._commit(path.removeprefix("/api/models/").removesuffix("/commit/main"), content)
        else:
            self.send_error(404)

    def do_PUT(self) -> None:
        content = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        path = self._begun("PUT")
        if path is not None:
            self.hub.stored[path.rsplit("/", 1)[-1]] = content
            self._answer({})

    def do_HEAD(self) -> None:
        self._file("HEAD")

    def do_GET(self) -> None:
        path = urlsplit(self.path).path
        if not path.startswith("/api/models/"):
            self._file("GET")
        elif self._begun("GET") is not None:
            name = path.removeprefix("/api/models/")
            if name not in self.hub.repositories:
                self._missing("RepoNotFound")
            else:
                self._answer(
                    {"id": name, "modelId": name, "private": self.hub.repositories[name].private, "sha": COMMIT, "tags": []}
                )

    def log_message(self, *args: object) -> None:
        pass

    def _begun(self, method: str) -> str | None:
        """The path that is asked for; None where every request is refused."""
        path = unquote(urlsplit(self.path).path)
        self.hub.requests.append((method, path))
        if self.hub.refuse is not None:
            self.send_response(self.hub.refuse)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return None
        return path

    def _commit(self, name: str, content: bytes) -> None:
        repository = self.hub.repositories[name]
        for line in map(json.loads, content.splitlines()):
            value = line["value"]
            if line["key"] == "file":
                repository.files["main"][value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                assert hashlib.sha256(self.hub.stored[value["oid"]]).hexdigest() == value["oid"]
                repository.files["main"][value["path"]] = self.hub.stored[value["oid"]]
        self._answer({"commitUrl": f"{self.hub.url}/{name}/commit/{COMMIT}", "commitOid": COMMIT, "pullRequestUrl": None})

    def _file(self, method: str) -> None:
        path = self._begun(method)
        if path is None:
            return
        if path.count("/") < 5:
            self.send_error(404)
            return
        owner, name, _, revision, file = path.strip("/").split("/", 4)
        repository = self.hub.repositories.get(f"{owner}/{name}")
        if repository is None:
            self._missing("RepoNotFound")
        elif revision not in (*repository.files, COMMIT):
            self._missing("RevisionNotFound")
        elif (content := repository.files.get(revision, repository.files["main"]).get(file)) is None:
            self._missing("EntryNotFound")
        else:
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.send_header("X-Repo-Commit", hashlib.sha1(revision.encode()).hexdigest() if revision != COMMIT else COMMIT)
            self.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()}"')
            self.end_headers()
            if method == "GET":
                self.wfile.write(content)

    def _answer(self, content: object) -> None:
        body = json.dumps(content).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _missing(self, code: str) -> None:
        self.send_response(404)
        self.send_header("X-Error-Code", code)
        self.send_header("X-Error-Message", code)
        self.send_header("Content-Length", "0")
        self.end_headers()


def _mode(path: str) -> str:
    return "lfs" if path.endswith(".safetensors") else "regular"


@pytest.fixture
def hub(monkeypatch, tmp_path):
    """The real huggingface_hub, sent to a Hub on this machine, with a token and a cache of its own."""
    from huggingface_hub import constants

    from memunlearn.models import hub_patches

    fake = FakeHub()
    for name, value in {
        "ENDPOINT": fake.url,
        "HUGGINGFACE_CO_URL_TEMPLATE": fake.url + "/{repo_id}/resolve/{revision}/{filename}",
        "HF_HUB_CACHE": str(tmp_path / "hub"),
        "HF_HUB_DISABLE_XET": True,
        "HF_HUB_OFFLINE": False,
    }.items():
        monkeypatch.setattr(constants, name, value)
    for name, value in {
        "HF_ENDPOINT": fake.url,
        "HF_TOKEN": "hf_of_a_test",
        "HF_HUB_DISABLE_XET": "1",
        "no_proxy": "127.0.0.1",
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    hub_patches._fetched.cache_clear()
    yield fake
    hub_patches._fetched.cache_clear()
    fake.stop()
