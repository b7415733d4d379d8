"""docker-compose.yml and Dockerfile as far as they can be judged without a Docker engine.

Two schemas: `OUR_SHAPE`, a structural check of our own, closed so that a misspelt key fails; and the compose
specification's own, which the package check-jsonschema ships, where that is installed (skipped otherwise). Not here:
whether the images exist, build and run.
"""

import http.server
import json
import os
import re
import shutil
import subprocess
import sys
import threading
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import util
from pathlib import Path
from typing import Any, Final

import jsonschema
import pytest
import yaml

ROOT: Final = Path(__file__).parents[2]
COMPOSE_TEXT: Final = (ROOT / "docker-compose.yml").read_text("utf-8")
COMPOSE: Final[dict[str, Any]] = yaml.safe_load(COMPOSE_TEXT)
SERVICES: Final[dict[str, dict[str, Any]]] = COMPOSE["services"]
WORKER: Final = SERVICES["worker"]
DOCKERFILE: Final = (ROOT / "Dockerfile").read_text("utf-8")
RUN_LOCK: Final = (ROOT / "requirements-run.lock").read_text("utf-8")
VERSION: Final = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["version"]
PINNED: Final = re.compile(r"\d+\.\d+\.\d+")


def _closed(required: list[str], **properties: Any) -> dict[str, Any]:
    return {"type": "object", "required": required, "properties": properties, "additionalProperties": False}


_TEXT: Final = {"type": "string", "minLength": 1}
_TEXTS: Final = {"type": "array", "items": _TEXT, "minItems": 1, "uniqueItems": True}
_DURATION: Final = {"type": "string", "pattern": r"^\d+s$"}
OUR_SHAPE: Final = _closed(
    ["name", "services", "volumes"],
    name={"type": "string", "pattern": r"^[a-z0-9][a-z0-9_-]*$"},
    services={
        "type": "object",
        "additionalProperties": _closed(
            ["image", "restart", "healthcheck", "logging", "deploy", "environment"],
            image=_TEXT,
            build=_closed(["context"], context=_TEXT, args={"type": "object", "additionalProperties": _TEXT}),
            pull_policy={"const": "build"},
            user={"type": "string", "pattern": r"^[1-9]\d*:[1-9]\d*$"},
            init={"type": "boolean"},
            read_only={"type": "boolean"},
            cap_drop=_TEXTS,
            security_opt=_TEXTS,
            tmpfs=_TEXTS,
            command=_TEXTS,
            restart={"enum": ["no", "unless-stopped"]},
            stop_grace_period=_DURATION,
            expose=_TEXTS,
            environment={"type": "object", "additionalProperties": {"type": ["string", "null"]}},
            depends_on={
                "type": "object",
                "additionalProperties": _closed(
                    ["condition"], condition={"enum": ["service_healthy", "service_completed_successfully"]}
                ),
            },
            volumes={"type": "array", "items": {"type": ["string", "object"]}},
            healthcheck={
                "oneOf": [
                    _closed(["disable"], disable={"const": True}),
                    _closed(
                        ["test", "interval", "timeout", "retries", "start_period"],
                        test={**_TEXTS, "minItems": 2, "prefixItems": [{"enum": ["CMD", "CMD-SHELL"]}]},
                        interval=_DURATION,
                        timeout=_DURATION,
                        retries={"type": "integer", "minimum": 1},
                        start_period=_DURATION,
                    ),
                ]
            },
            logging=_closed(
                ["driver", "options"],
                driver={"const": "json-file"},
                options=_closed(
                    ["max-size", "max-file"],
                    **{
                        "max-size": {"type": "string", "pattern": r"^\d+[km]$"},
                        "max-file": {"type": "string", "pattern": r"^\d+$"},
                    },
                ),
            ),
            deploy=_closed(
                ["resources"],
                resources=_closed(
                    ["limits"],
                    limits=_closed(
                        ["cpus", "memory"],
                        cpus={"type": "string", "pattern": r"^\d+(\.\d+)?$"},
                        memory={"type": "string", "pattern": r"^\d+[mg]$"},
                        pids={"type": "integer", "minimum": 1},
                    ),
                ),
            ),
        ),
    },
    volumes={"type": "object", "additionalProperties": {"type": "null"}},
)


def test_has_the_shape_that_the_comments_promise() -> None:
    jsonschema.validate({key: part for key, part in COMPOSE.items() if not key.startswith("x-")}, OUR_SHAPE)


def test_follows_the_compose_specification() -> None:
    # Found, not imported: only the data file is wanted, and the package's own code asks for a newer click than Faust's.
    (package,) = util.find_spec("check_jsonschema").submodule_search_locations  # type: ignore[union-attr,misc]
    shipped = Path(package) / "builtin_schemas" / "vendor" / "compose-spec.json"
    jsonschema.validate(COMPOSE, json.loads(shipped.read_text("utf-8")))


@pytest.mark.parametrize("text", [COMPOSE_TEXT, DOCKERFILE], ids=["docker-compose.yml", "Dockerfile"])
def test_names_settings_that_exist(text: str) -> None:
    from workers.settings import NAMES

    named = set(re.findall(r"MIMAMORI_\w+", text))
    assert named
    assert named <= NAMES


@pytest.mark.parametrize("service", ["topics", "worker"])
def test_passes_settings_and_nothing_else(service: str) -> None:
    assert all(name.startswith("MIMAMORI_") for name in SERVICES[service]["environment"])


def test_topics_and_worker_agree_on_the_names_in_the_cluster() -> None:
    for name in ("MIMAMORI_BOOTSTRAP_SERVERS", "MIMAMORI_GROUP", "MIMAMORI_TOPIC_PREFIX"):
        assert name in WORKER["environment"]
        assert name in SERVICES["topics"]["environment"]
        assert SERVICES["topics"]["environment"][name] == WORKER["environment"][name]


def test_worker_can_be_scaled() -> None:
    assert "container_name" not in WORKER
    assert "ports" not in WORKER
    assert "MIMAMORI_INSTANCE_ID" not in WORKER["environment"], "it would be the same in every replica"
    store = WORKER["environment"]["MIMAMORI_DATADIR"]
    assert WORKER["volumes"] == [{"type": "volume", "target": store}], "without a source: one for each replica"
    assert store not in COMPOSE["volumes"]


def test_no_service_is_reachable_from_outside() -> None:
    assert not [name for name, service in SERVICES.items() if "ports" in service or "network_mode" in service]


def test_starts_in_order() -> None:
    assert SERVICES["topics"]["command"] == ["topics", "apply"]
    assert SERVICES["topics"]["restart"] == "no"
    assert SERVICES["topics"]["depends_on"] == {"kafka": {"condition": "service_healthy"}}
    assert WORKER["depends_on"]["topics"] == {"condition": "service_completed_successfully"}


def test_worker_has_time_to_finish_its_batch() -> None:
    from workers.app import PRODUCER_TIMEOUT_SECONDS

    grace = int(WORKER["stop_grace_period"].removesuffix("s"))
    assert grace >= 60
    assert grace > PRODUCER_TIMEOUT_SECONDS


@pytest.mark.parametrize("service", ["topics", "worker"])
def test_runs_with_little_power(service: str) -> None:
    ours = SERVICES[service]
    assert ours["read_only"] is True
    assert ours["init"] is True
    assert ours["cap_drop"] == ["ALL"]
    assert ours["security_opt"] == ["no-new-privileges:true"]
    assert any(mount.startswith("/tmp:size=") for mount in ours["tmpfs"])  # noqa: S108 # a mount point
    assert f"USER {ours['user']}" in DOCKERFILE


def test_images_are_pinned() -> None:
    images = {name: service["image"].rpartition(":") for name, service in SERVICES.items()}
    assert images["kafka"][0] == "apache/kafka"
    assert re.fullmatch(r"4\.\d+\.\d+", images["kafka"][2])
    for ours in ("topics", "worker"):
        assert images[ours] == ("mimamori", ":", VERSION)
        assert SERVICES[ours]["pull_policy"] == "build", "a stranger's image of that name must never be pulled"


def test_kafka_is_the_one_that_the_tests_run() -> None:
    tested = re.search(r"^KAFKA=(\S+)$", (ROOT / "tests/kafka/fetch.sh").read_text("utf-8"), re.MULTILINE)
    assert tested
    assert SERVICES["kafka"]["image"] == f"apache/kafka:{tested[1]}"


def test_kafka_keeps_its_data_and_its_commits() -> None:
    from workers import layout

    kafka = SERVICES["kafka"]
    volume, _, place = kafka["volumes"][0].partition(":")
    assert volume in COMPOSE["volumes"]
    assert place == kafka["environment"]["KAFKA_LOG_DIRS"]
    assert kafka["environment"]["KAFKA_AUTO_CREATE_TOPICS_ENABLE"] == "false"
    posts = yaml.safe_load(layout.PACKAGED.read_text("utf-8"))["topics"]["posts"]
    assert int(kafka["environment"]["KAFKA_OFFSETS_RETENTION_MINUTES"]) >= posts["retention_days"] * 24 * 60


def test_kafka_advertises_the_address_that_clients_are_given() -> None:
    kafka = SERVICES["kafka"]
    address = WORKER["environment"]["MIMAMORI_BOOTSTRAP_SERVERS"]
    assert kafka["environment"]["KAFKA_ADVERTISED_LISTENERS"] == f"PLAINTEXT://{address}"
    assert f"--bootstrap-server {address} " in kafka["healthcheck"]["test"][1]


def _image_check() -> list[str]:
    found = re.search(r"^HEALTHCHECK .*?CMD (\[.*?\])$", DOCKERFILE, re.MULTILINE | re.DOTALL)
    assert found
    command: list[str] = json.loads(found[1])
    return command


@contextmanager
def _answering(status: int) -> Iterator[tuple[int, list[str]]]:
    asked: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port, asked
        server.shutdown()


@pytest.mark.parametrize("status", [200, 503])
@pytest.mark.parametrize(("source", "path"), [("compose", "/healthz/ready"), ("image", "/healthz/live")])
def test_health_checks_do_what_they_say(source: str, path: str, status: int) -> None:
    command = WORKER["healthcheck"]["test"][1:] if source == "compose" else _image_check()
    assert command[0] == "python"
    with _answering(status) as (port, asked):
        environment = {
            **os.environ,
            "MIMAMORI_WEB_PORT": str(port),
            "http_proxy": "http://127.0.0.1:1",  # a proxy of the host must not be asked about this container
            "no_proxy": "",
        }
        done = subprocess.run([sys.executable, *command[1:]], env=environment, capture_output=True, timeout=30)
    assert asked == [path]
    assert (done.returncode == 0) is (status == 200)


def _instructions(name: str) -> list[str]:
    joined = re.sub(r"\\\n\s*", "", re.sub(r"^#.*\n", "", DOCKERFILE, flags=re.MULTILINE))
    return re.findall(rf"^{name} (.+)$", joined, re.MULTILINE)


def test_base_images_are_pinned_and_the_last_stage_is_bare() -> None:
    stages: set[str] = set()
    for base, name in (line.split(" AS ") for line in _instructions("FROM")):
        if base not in stages:
            image, _, tag = base.partition(":")
            assert image == "python"
            assert PINNED.match(tag), f"{base}: no patch version"
        stages.add(name)
    last = DOCKERFILE[DOCKERFILE.rindex("FROM ") :]
    assert not re.search(r"\b(pip|uv|apt-get)\b", last), "the final stage installs nothing"
    assert 'ENTRYPOINT ["mimamori"]' in last
    assert re.findall(r"^USER (\d+):(\d+)$", last, re.MULTILINE) == [("10001", "10001")]


def test_every_copied_path_exists_and_is_not_ignored() -> None:
    allowed = {
        line.removeprefix("!")
        for line in (ROOT / ".dockerignore").read_text("utf-8").splitlines()
        if line.startswith("!")
    }
    copied = {part for line in _instructions("COPY") if "--from=" not in line for part in line.split()[:-1]}
    assert {"requirements-run.lock", "pyproject.toml", "workers", "models"} <= copied
    for path in copied:
        assert (ROOT / path).exists(), path
    assert copied == allowed, "what the image takes and what .dockerignore lets through"


def test_build_tools_are_those_of_the_makefile() -> None:
    makefile = (ROOT / "Makefile").read_text("utf-8")
    ours = re.search(r"^UV_VERSION := (\S+)$", makefile, re.MULTILINE)
    assert ours
    assert f"UV_VERSION={ours[1]}" in _instructions("ARG")


def test_no_index_is_named() -> None:
    for name in ("Dockerfile", "docker-compose.yml", ".dockerignore"):
        text = (ROOT / name).read_text("utf-8")
        assert not re.findall(r"https?://(?!127\.0\.0\.1\b)\S+", text.replace("'", " ")), name


@pytest.mark.skipif(shutil.which("awk") is None, reason="awk")
@pytest.mark.parametrize("build", ["plain", "TORCH_INDEX"])
def test_image_leaves_out_what_a_cpu_never_uses(build: str, tmp_path: Path) -> None:
    script = next(run for run in _instructions("RUN") if "awk" in run)
    skip = re.findall(r"skip='(.*?)'", script)[build != "plain"]
    program = re.search(r"awk -v skip=\"\^\(\$\{skip\}\)==\" '(.*?)' requirements-run.lock", script)
    assert program
    done = subprocess.run(
        ["awk", "-v", f"skip=^({skip})==", program[1], str(ROOT / "requirements-run.lock")],
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    )
    names = re.compile(r"^([a-z0-9][a-z0-9.-]*)==", re.MULTILINE)
    before, after = names.findall(RUN_LOCK), names.findall(done.stdout)
    gone = set(before) - set(after)
    if build == "plain":
        assert gone == {"triton"}
    else:
        assert {"torch", "triton"} < gone
        assert {name.partition("-")[0] for name in gone - {"torch", "triton"}} == {"nvidia", "cuda"}
        assert not [name for name in after if name.startswith(("nvidia-", "cuda-"))]
    for block in re.split(r"^(?=[a-z0-9])", done.stdout, flags=re.MULTILINE)[1:]:
        assert "--hash=sha256:" in block, "a requirement lost its hashes"


def test_the_package_builds_with_the_locked_setuptools() -> None:
    required = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["build-system"]["requires"]
    assert all(f"\n{requirement} " in RUN_LOCK for requirement in required), "--no-build-isolation would fail"
