"""The image, the Compose files and the Kubernetes examples say what relayd can do, and agree with each other.

`packaging/container/try` carries the Containerfile out, and runs what comes of it.
"""

import re
import runpy
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]

from relayd.config.load import load
from relayd.settings import Settings
from tests.support.daemon import ROOT

CONTAINER = ROOT / "packaging/container"
TRY = runpy.run_path(str(CONTAINER / "try"), run_name="packaging")
INSTRUCTIONS = list(TRY["instructions"]((CONTAINER / "Containerfile").read_text()))
COMPOSE = ("compose.yaml", "compose.postgres.yaml")
KUBERNETES = sorted((ROOT / "etc/kubernetes").glob("*.yaml"))


def _all(word: str) -> list[str]:
    return [rest for name, rest in INSTRUCTIONS if name == word]


def _settings(
    environment: Mapping[str, str], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> Settings:
    """The settings of a container, with secrets that are there."""
    secret = folder / "secret"
    secret.write_text("secret\n")
    secret.chmod(0o600)
    (folder / "relayd.toml").write_text("")
    with monkeypatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, str(secret) if name.endswith("PASSWORD_FILE") else value)
        return load(str(folder / "relayd.toml"))


def test_the_image_runs_as_nobody_special_and_stops_when_it_is_told() -> None:
    last = max(number for number, (word, _) in enumerate(INSTRUCTIONS) if word == "FROM")
    final = INSTRUCTIONS[last:]
    [user] = [rest for word, rest in final if word == "USER"]
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", user)
    assert [rest for word, rest in final if word == "VOLUME"] == ["/var/lib/relayd"]
    assert [rest for word, rest in final if word == "STOPSIGNAL"] == ["SIGTERM"]
    for word in ("ENTRYPOINT", "CMD"):  # a shell would keep the signal to itself
        [rest] = [rest for name, rest in final if name == word]
        assert rest.startswith("[")
    [health] = [rest for word, rest in final if word == "HEALTHCHECK"]
    assert "healthy.py" in health


def test_temporary_files_are_on_the_volume_which_every_example_has() -> None:
    """The root is read-only. With PostgreSQL no large message came in there, for want of a folder."""
    environment = " ".join(_all("ENV"))
    [folder] = re.findall(r"\bTMPDIR=(\S+)", environment)
    assert _all("VOLUME") == [folder]
    files = [
        *KUBERNETES,
        *(CONTAINER / name for name in ("compose.yaml",)),
        *(ROOT / "etc/compose").glob("*.yaml"),
    ]
    for file in files:
        assert re.search(rf"(?:mountPath: |:|- ){folder}\b", file.read_text()), file


def test_each_file_that_the_image_copies_is_there() -> None:
    for rest in _all("COPY"):
        if not rest.startswith("--from="):
            for source in rest.split()[:-1]:
                assert (ROOT / source).exists(), source


def test_the_base_is_one_name_and_its_digest_is_whole() -> None:
    [argument] = [each for each in _all("ARG") if each.startswith("BASE=")]
    base = (CONTAINER / "base").read_text().strip()
    name, _, digest = base.partition("@")
    assert argument == f"BASE={name}"
    assert set(_all("FROM")) == {"${BASE} AS build", "${BASE}"}
    assert not digest or re.fullmatch(r"sha256:[0-9a-f]{64}", digest)
    assert ":" in name
    assert not name.endswith(":latest")


def test_the_environment_of_the_image_is_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pairs = [pair for rest in _all("ENV") for pair in rest.split()]
    environment = dict(pair.split("=", 1) for pair in pairs)
    ours = {name: each for name, each in environment.items() if name.startswith("RELAYD_")}
    settings = _settings({**ours, "RELAYD_FQDN": "a.example.org"}, tmp_path, monkeypatch)
    assert settings.limits.stop_within.total_seconds() == 3


def _merged() -> dict[str, Any]:
    """What Compose makes of both files: tables are joined, lists added."""

    def join(one: Any, other: Any) -> Any:
        if isinstance(one, dict) and isinstance(other, dict):
            return {
                key: join(one[key], other[key])
                if key in one and key in other
                else one.get(key, other.get(key))
                for key in {**one, **other}
            }
        return one + other if isinstance(one, list) else other

    first, second = (yaml.safe_load((CONTAINER / name).read_text()) for name in COMPOSE)
    return dict(join(first, second))


@pytest.mark.parametrize("is_postgres", [False, True], ids=["file", "postgres"])
def test_compose_names_what_there_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, is_postgres: bool
) -> None:
    compose = _merged() if is_postgres else yaml.safe_load((CONTAINER / COMPOSE[0]).read_text())
    named, secrets = set(), set()
    for service in compose["services"].values():
        named |= {volume.partition(":")[0] for volume in service.get("volumes", ())}
        secrets |= set(service.get("secrets", ()))
        assert set(service.get("depends_on", ())) <= set(compose["services"])
    assert named == set(compose["volumes"])
    assert secrets == set(compose["secrets"])
    for name in ("relay", "console"):
        service = compose["services"][name]
        assert service["read_only"]
        assert service["cap_drop"] == ["ALL"]
        settings = _settings(service["environment"], tmp_path, monkeypatch)
        assert settings.store.url.startswith("postgresql:" if is_postgres else "sqlite:")


@pytest.mark.parametrize(
    "file", [CONTAINER / "compose.yaml", ROOT / "etc/compose/compose.yaml"], ids=["one", "three"]
)
def test_compose_gives_time_to_stop_and_a_disk(file: Path) -> None:
    """A balancer that asks for /readyz adds 5 s to a stop; what is on a tmpfs is lost, and in memory."""
    services = yaml.safe_load(file.read_text())["services"]
    relays = {name: each for name, each in services.items() if name.startswith("relay")}
    assert relays
    for relay in relays.values():
        assert int(relay["stop_grace_period"].removesuffix("s")) >= 15
        assert not [each for each in relay.get("tmpfs", ()) if each.startswith("/var")]
        assert [each for each in relay["volumes"] if each.endswith("/var/lib/relayd")]


def _documents(path: Path) -> dict[str, dict[str, Any]]:
    return {each["kind"]: each for each in yaml.safe_load_all(path.read_text())}


def _workloads(path: Path) -> Iterator[dict[str, Any]]:
    found = _documents(path)
    yield from (found[kind] for kind in ("StatefulSet", "Deployment") if kind in found)


@pytest.mark.parametrize("path", KUBERNETES, ids=lambda path: path.stem)
def test_kubernetes_finds_its_pods_ports_and_volumes(path: Path) -> None:
    found = _documents(path)
    [workload] = _workloads(path)
    pod = workload["spec"]["template"]
    labels = pod["metadata"]["labels"]
    assert workload["spec"]["selector"]["matchLabels"] == labels
    assert found["Service"]["spec"]["selector"] == labels
    [container] = pod["spec"]["containers"]
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    assert [port["targetPort"] for port in found["Service"]["spec"]["ports"]] == ["smtp"]
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        assert container[probe]["httpGet"]["port"] in ports
    assert container["livenessProbe"]["httpGet"]["path"] == "/healthz"
    assert container["readinessProbe"]["httpGet"]["path"] == "/readyz"
    volumes = {each["name"] for each in pod["spec"]["volumes"]}
    volumes |= {
        each["metadata"]["name"] for each in workload["spec"].get("volumeClaimTemplates", ())
    }
    assert {each["name"] for each in container["volumeMounts"]} == volumes
    assert "/var/lib/relayd" in {each["mountPath"] for each in container["volumeMounts"]}


@pytest.mark.parametrize("path", KUBERNETES, ids=lambda path: path.stem)
def test_kubernetes_gives_no_rights_and_enough_time(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    [workload] = _workloads(path)
    spec = workload["spec"]["template"]["spec"]
    [container] = spec["containers"]
    rights = container["securityContext"]
    assert rights["readOnlyRootFilesystem"]
    assert not rights["allowPrivilegeEscalation"]
    assert rights["capabilities"] == {"drop": ["ALL"]}
    user = f"{spec['securityContext']['runAsUser']}:{spec['securityContext']['runAsGroup']}"
    assert [user] == _all("USER")
    settings = _settings(_documents(path)["ConfigMap"]["data"], tmp_path, monkeypatch)
    stop = settings.limits.stop_within.total_seconds()
    assert spec["terminationGracePeriodSeconds"] >= 5 + stop * 2.5 + 2 + 5
    is_file = settings.store.url.startswith("sqlite:")
    assert (workload["spec"]["replicas"] == 1) is is_file
    assert is_file is (workload["kind"] == "StatefulSet")
    if not is_file:
        budget = _documents(path)["PodDisruptionBudget"]["spec"]
        assert 0 < budget["minAvailable"] < workload["spec"]["replicas"]
        assert budget["selector"] == workload["spec"]["selector"]
