"""Files for containers and dashboards name existing things and ask for no more rights than they need."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from typing import Any, Final

import pytest
import yaml

from qguardarr.api.v1.daemon import Widget
from qguardarr.config.environment import variable_of
from qguardarr.config.outline import settings
from qguardarr.config.schema import Global
from tests.support.api_operations import OPERATIONS
from tests.support.paths import ROOT

REPO: Final = ROOT
COMPOSE: Final = ("docker-compose.yml", "deploy/docker-compose.media.yml")
PORT: Final = Global.model_fields["port"].default
SETTINGS: Final = {variable_of(setting.path) for setting in settings()}
OTHERS: Final = {"PUID", "PGID", "UMASK", "TZ", "QBIT_URL", "QBIT_USERNAME", "QBIT_PASSWORD"}


def text(name: str) -> str:
    return (REPO / name).read_text(encoding="utf-8")


def service(name: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(text(name))["services"]["qguardarr"]
    return found


def container() -> tuple[dict[str, Any], dict[str, Any]]:
    """Of the Kubernetes manifest: the pod, and its only container."""
    documents = {document["kind"]: document for document in yaml.safe_load_all(text("deploy/kubernetes.yaml"))}
    deployment = documents["Deployment"]["spec"]
    assert (deployment["replicas"], deployment["strategy"]["type"]) == (1, "Recreate")
    pod = deployment["template"]["spec"]
    (only,) = pod["containers"]
    return pod, only


# -- compose ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", COMPOSE)
def test_compose_gives_it_no_more_rights_than_changing_users_takes(name: str) -> None:
    found = service(name)
    assert found["cap_drop"] == ["ALL"]
    assert set(found["cap_add"]) == {"CHOWN", "SETGID", "SETUID"}
    assert found["read_only"] is True
    assert found["security_opt"] == ["no-new-privileges:true"]
    assert found["deploy"]["resources"]["limits"]["memory"]
    assert any(volume.endswith(":/config") for volume in found["volumes"])
    assert found["ports"] == [f"127.0.0.1:{PORT}:{PORT}"]


@pytest.mark.parametrize("name", COMPOSE)
def test_compose_sets_what_exists(name: str) -> None:
    assert set(service(name)["environment"]) <= SETTINGS | OTHERS
    assert set(service(name)["environment"]) >= OTHERS


def test_compose_starts_it_after_a_healthy_qbittorrent() -> None:
    services = yaml.safe_load(text("deploy/docker-compose.media.yml"))["services"]
    assert services["qguardarr"]["depends_on"] == {"qbittorrent": {"condition": "service_healthy"}}
    assert services["qbittorrent"]["healthcheck"]["test"]
    assert set(services["qguardarr"]["networks"]) & set(services["qbittorrent"]["networks"])


def test_the_example_of_the_environment_names_what_the_compose_files_take() -> None:
    offered = set(re.findall(r"^#?([A-Z_]+)=", text(".env.example"), re.MULTILINE))
    taken = {name for file in COMPOSE for name in re.findall(r"\$\{([A-Z_]+)", text(file))}
    assert offered == taken


# -- Kubernetes, Unraid, Homepage -------------------------------------------------------------------------------------


def test_kubernetes_runs_it_as_somebody_without_rights() -> None:
    pod, only = container()
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert only["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert only["securityContext"]["readOnlyRootFilesystem"] is True
    assert only["securityContext"]["allowPrivilegeEscalation"] is False
    assert [port["containerPort"] for port in only["ports"]] == [PORT]


def test_kubernetes_asks_for_health_where_nobody_needs_a_key() -> None:
    _, only = container()
    access = {operation.path: operation.access for operation in OPERATIONS if operation.method == "GET"}
    asked = {kind: only[f"{kind}Probe"]["httpGet"]["path"] for kind in ("startup", "liveness", "readiness")}
    assert asked == {"startup": "/health/live", "liveness": "/health/live", "readiness": "/health/ready"}
    assert {access[path] for path in asked.values()} == {"open"}


def test_unraid_sets_what_exists_and_starts_as_compose_does() -> None:
    root = ET.fromstring(text("deploy/unraid/qguardarr.xml"))  # our own
    settings = {config.attrib["Target"]: config for config in root.iter("Config")}
    assert {name for name, config in settings.items() if config.attrib["Type"] == "Variable"} <= SETTINGS | OTHERS
    assert settings["/config"].attrib["Type"] == "Path"
    assert settings[str(PORT)].attrib["Type"] == "Port"
    assert settings["QBIT_PASSWORD"].attrib["Mask"] == "true"
    extra = root.findtext("ExtraParams") or ""
    assert "--user 0:0" in extra
    assert set(re.findall(r"--cap-add (\w+)", extra)) == set(service(COMPOSE[0])["cap_add"])
    assert "--cap-drop ALL" in extra


def test_homepage_shows_fields_that_the_widget_has() -> None:
    (group,) = yaml.safe_load(text("deploy/homepage.yaml"))
    widget = group["Torrents"][0]["Qguardarr"]["widget"]
    assert widget["url"].endswith("/api/v1/widget")
    assert {mapping["field"] for mapping in widget["mappings"]} <= set(Widget.__struct_fields__)


# -- the image --------------------------------------------------------------------------------------------------------


def test_the_image_sets_what_exists() -> None:
    dockerfile = text("Dockerfile")
    assert set(re.findall(r"QGUARDARR__\w+", dockerfile)) <= SETTINGS
    assert f"EXPOSE {PORT}" in dockerfile


def test_the_build_sees_only_files_that_it_copies() -> None:
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", text("Dockerfile"), re.MULTILINE)
    wanted = {word for line in copied for word in line.split()}
    seen = {line[1:] for line in text(".dockerignore").splitlines() if line.startswith("!")}
    assert text(".dockerignore").splitlines()[1] == "*"
    assert all(any(path == word or path.startswith(word + "/") for word in wanted) for path in seen), "too much is seen"
    assert all(any(path == word or path.startswith(word + "/") for path in seen) for word in wanted), (
        "too little is seen"
    )
