"""The alert rules for Prometheus: sound, firing when they should, and about metrics that exist."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from lab.promtool import promtool
from qguardarr.adapters.metrics import Metrics
from tests.support.paths import ROOT
from tests.support.samples import row, status

RULES = ROOT / "deploy/prometheus-alerts.yaml"
CASES = Path(__file__).with_name("alert_rules_test.yaml")


def run_promtool(*arguments: str, given: bytes = b"") -> str:
    """Its output; fails if it is not satisfied."""
    done = subprocess.run(
        [promtool(), *arguments], input=given, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60, check=False
    )
    said = done.stdout.decode()
    assert done.returncode == 0, said
    return said


@pytest.fixture(scope="module")
def rules() -> list[dict[str, Any]]:
    (group,) = yaml.safe_load(RULES.read_text())["groups"]
    return list(group["rules"])


@pytest.mark.live
@pytest.mark.shared
def test_prometheus_takes_the_rules(rules: list[dict[str, Any]]) -> None:
    assert f"SUCCESS: {len(rules)} rules found" in run_promtool("check", "rules", str(RULES))


@pytest.mark.live
@pytest.mark.shared
def test_each_alert_is_silent_once_and_fires_once() -> None:
    assert "SUCCESS" in run_promtool("test", "rules", str(CASES))


@pytest.mark.live
@pytest.mark.shared
def test_prometheus_takes_the_metrics() -> None:
    picture = status(trackers=(row("a"), row("b", cap=None, effective=None, demand=None)))
    metrics = Metrics(lambda: picture)
    metrics.on_cycle(status(cycle_s=0.1))
    body, _ = metrics.render(None)
    assert run_promtool("check", "metrics", given=body) == ""


def test_each_alert_has_its_cases(rules: list[dict[str, Any]]) -> None:
    expected = [
        (case["expr"], bool(case.get("exp_samples")))
        for test in yaml.safe_load(CASES.read_text())["tests"]
        for case in test.get("promql_expr_test", ())
    ]
    for rule in rules:
        fires = {fires for expression, fires in expected if f'alertname="{rule["alert"]}"' in expression}
        assert fires == {False, True}, rule["alert"]


def test_each_alert_says_what_it_is_and_what_to_do(rules: list[dict[str, Any]]) -> None:
    assert len({rule["alert"] for rule in rules}) == len(rules)
    for rule in rules:
        assert rule["labels"]["severity"] in ("critical", "warning", "info")
        assert rule["annotations"].keys() == {"summary", "description"}


def test_the_rules_are_about_metrics_that_are_exported(rules: list[dict[str, Any]]) -> None:
    body, _ = Metrics(lambda: status(trackers=(row("a"),))).render(None)
    exported = {line.split("{")[0].split(" ")[0] for line in body.decode().splitlines() if not line.startswith("#")}
    samples = body.decode()
    for rule in rules:
        used = re.findall(r"qguardarr_\w+", rule["expr"])
        assert set(used) <= exported, rule["alert"]
        for name, label, values in re.findall(r'(qguardarr_\w+)\{(\w+)=~?"([^"]*)"', rule["expr"]):
            for value in values.split("|"):
                assert f'{name}{{{label}="{value}"}}' in samples, rule["alert"]
