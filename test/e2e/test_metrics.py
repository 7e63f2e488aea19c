#!/usr/bin/env python3
"""What watches a mesh: the names and units of /metrics by Prometheus' own checker, and that alert rules, dashboard and runbook speak of what is there."""
import json
import os
import re
import shutil
import subprocess
import sys
from urllib.request import urlopen

from harness import COMMAND_SECONDS, Case, main

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
GRAFANA = os.path.join(ROOT, "deploy", "grafana")
SHOWN_BY_PROMETHEUS = {"up"}  # what Prometheus adds itself
OURS = re.compile(r"\b(?:mesh|process)_[a-z0-9_]+\b|\bup\b")


def read(*path):
    with open(os.path.join(*path), encoding="utf-8") as file:
        return file.read()


def metrics_of(expression):
    """The metrics that an expression names: what is not in braces (labels) and not a label to sum by."""
    bare = re.sub(r"\{[^}]*\}|(?:by|without) \([^)]*\)", "", expression)
    return {re.sub(r"_(bucket|sum|count)$", "", name) if name.endswith("_seconds_bucket") else name for name in OURS.findall(bare)}


class Metrics(Case):
    def promtool(self, *words, stdin=None):
        """test/run unpacks it from Debian's package, without the server that the package would start."""
        tool = shutil.which("promtool") or os.path.join(ROOT, "build", "tools", "usr", "bin", "promtool")
        if not os.path.exists(tool):
            if os.environ.get("MESH_TEST_TOOLS") == "all":
                self.fail("promtool is not there")
            self.skipTest("promtool is not there: test/run brings it")
        done = subprocess.run([tool, *words], input=stdin, capture_output=True, timeout=COMMAND_SECONDS, text=True)
        self.assertEqual(done.returncode, 0, f"promtool {' '.join(words)}\n{done.stdout}\n{done.stderr}")

    def exposition(self):
        """Of a broker with all that makes families appear: TLS, a topic, a group with a lag."""
        if shutil.which("openssl") is None:
            self.skipTest("openssl is not installed")
        certificate, key = self.path("one.crt"), self.path("one.key")
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", "/CN=localhost",
                        "-keyout", key, "-out", certificate], check=True, capture_output=True, timeout=COMMAND_SECONDS)
        self.start_broker(options=["--set", f"tls.certificate={certificate}", "--set", f"tls.key={key}"])
        self.mesh("produce", "orders", stdin=b"a\nb\nc\n")
        self.mesh("consume", "orders", "--group", "billing", "--count", "2")
        with urlopen(f"http://{self.broker.address}/metrics", timeout=60) as answer:
            return answer.read().decode()

    def test_names_and_units_are_as_prometheus_wants_them(self):
        self.promtool("check", "metrics", stdin=self.exposition())

    def test_alerts_fire_when_they_should(self):
        self.promtool("check", "rules", os.path.join(GRAFANA, "alerts.yml"))
        self.promtool("test", "rules", os.path.join(GRAFANA, "alerts_test.yml"))

    def test_what_is_watched_is_there(self):
        shown = set(re.findall(r"^# TYPE (\S+)", self.exposition(), re.MULTILINE)) | SHOWN_BY_PROMETHEUS
        alerts = re.findall(r"^\s+expr: (.*)$", read(GRAFANA, "alerts.yml"), re.MULTILINE)
        panels = [target["expr"] for panel in json.loads(read(GRAFANA, "mesh.json"))["panels"] for target in panel.get("targets", [])]
        self.assertGreater(len(alerts), 20)
        self.assertGreater(len(panels), 30)
        for expression in alerts + panels:
            named = metrics_of(expression)
            self.assertTrue(named, expression)
            self.assertLessEqual(named, shown, expression)

    def test_the_dashboard_is_what_its_table_makes(self):
        made = subprocess.run([sys.executable, os.path.join(GRAFANA, "dashboard.py")], check=True, capture_output=True, timeout=COMMAND_SECONDS, text=True).stdout
        self.assertEqual(made, read(GRAFANA, "mesh.json"), "deploy/grafana/dashboard.py > deploy/grafana/mesh.json")
        numbers = [panel["id"] for panel in json.loads(made)["panels"]]
        self.assertEqual(len(numbers), len(set(numbers)))

    def test_every_alert_is_in_the_runbook_and_tried(self):
        rules = read(GRAFANA, "alerts.yml")
        names = re.findall(r"- alert: (\w+)", rules)
        self.assertEqual(len(names), len(set(names)))
        self.assertEqual(rules.count('runbook: "deploy/guide/operating.md#alerts"'), len(names))
        runbook = read(ROOT, "deploy", "guide", "operating.md")
        self.assertIn("\n### Alerts\n", runbook)
        self.assertEqual(re.findall(r"^\| `(Mesh\w+)` \|", runbook, re.MULTILINE), names)
        tried = read(GRAFANA, "alerts_test.yml")
        for name in names:
            self.assertIn(f"- alertname: {name}\n", tried)
            self.assertIn(f"- {{alertname: {name}, ", tried, "and that it does not fire on a sound mesh")


if __name__ == "__main__":
    main()
