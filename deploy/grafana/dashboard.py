#!/usr/bin/env python3
"""Writes mesh.json, the dashboard for Grafana (10 and later), from the table below.

    deploy/grafana/dashboard.py > deploy/grafana/mesh.json

The table is what people change; that mesh.json is what it makes, and that each metric in it is one that a broker shows, is checked by test/e2e/test_metrics.py.
"""
import json

COLUMNS = 24  # of Grafana's grid
HEIGHT = 8

# A row of panels: (title, unit, [(legend, expression)], explanation). Units are Grafana's names.
BROKER = 'instance=~"$instance",job="$job"'
ROWS = [
    ("Is it sound?", [
        ("Brokers up", "none", [("up", 'sum(up{job="$job"})'), ("ready", 'sum(mesh_ready{job="$job"})')], "Those that answer, and those that serve."),
        ("Coordinator known", "none", [("{{instance}}", f"mesh_coordinator_known{{{BROKER}}}")], "0: nothing can be created or moved; records flow where leaders live."),
        ("Partitions that need care", "none", [
            ("no complete replica", 'max(mesh_partitions_lost{job="$job"})'),
            ("offline", 'max(mesh_partitions_offline{job="$job"})'),
            ("writes refused", 'max(mesh_partitions_under_min_insync{job="$job"})'),
            ("at risk", 'max(mesh_partitions_at_risk{job="$job"})'),
            ("under-replicated", 'max(mesh_partitions_under_replicated{job="$job"})'),
            ("moving", 'max(mesh_partitions_moving{job="$job"})')], "All of them should be 0, but for those that move."),
        ("Damage and loss", "none", [
            ("{{instance}} damaged ranges", f"sum by (instance) (mesh_store_holes{{{BROKER}}})"),
            ("{{instance}} cuts of committed records", f"sum by (instance) (increase(mesh_replica_committed_truncations_total{{{BROKER}}}[1h]))"),
            ("{{instance}} unclean elections", f"sum by (instance) (increase(mesh_replica_unclean_elections_total{{{BROKER}}}[1h]))")],
         "Damage mends itself from other replicas; the other two mean that acknowledged records may be gone."),
    ]),
    ("Traffic", [
        ("Records in", "cps", [("{{instance}}", f"sum by (instance) (rate(mesh_produced_records_total{{{BROKER}}}[$__rate_interval]))")], "Records appended by leaders."),
        ("Bytes in", "Bps", [("{{instance}}", f"sum by (instance) (rate(mesh_produced_bytes_total{{{BROKER}}}[$__rate_interval]))")], "As they are stored, compressed or not."),
        ("Bytes out", "Bps", [("{{instance}}", f"sum by (instance) (rate(mesh_fetched_bytes_total{{{BROKER}}}[$__rate_interval]))")], "To consumers, without replication."),
        ("Largest topics", "Bps", [("{{topic}}", 'topk(10, sum by (topic) (rate(mesh_topic_produced_bytes_total{job="$job"}[$__rate_interval])))')], "Bytes in, the ten busiest."),
    ]),
    ("How long it takes", [
        ("Acknowledgement, p99", "s", [("{{instance}}", f"histogram_quantile(0.99, sum by (instance, le) (rate(mesh_produce_ack_seconds_bucket{{{BROKER}}}[$__rate_interval])))")],
         "From a produce request to its acknowledgement: the disks and the followers are in it."),
        ("Journal sync, p50 and p99", "s", [
            ("{{instance}} p50", f"histogram_quantile(0.5, sum by (instance, le) (rate(mesh_journal_sync_seconds_bucket{{{BROKER}}}[$__rate_interval])))"),
            ("{{instance}} p99", f"histogram_quantile(0.99, sum by (instance, le) (rate(mesh_journal_sync_seconds_bucket{{{BROKER}}}[$__rate_interval])))")],
         "One durable write: the disk."),
        ("Offset commit, p99", "s", [("{{instance}}", f"histogram_quantile(0.99, sum by (instance, le) (rate(mesh_group_answer_seconds_bucket{{{BROKER}}}[$__rate_interval])))")],
         "From a group's request to its answer."),
        ("Refused and failed", "cps", [
            ("{{instance}} batches", f"sum by (instance) (rate(mesh_produce_errors_total{{{BROKER}}}[$__rate_interval]))"),
            ("{{instance}} fetches", f"sum by (instance) (rate(mesh_fetch_errors_total{{{BROKER}}}[$__rate_interval]))"),
            ("{{instance}} logins", f"sum by (instance) (rate(mesh_logins_failed_total{{{BROKER}}}[$__rate_interval]))")], "Answers with an error."),
    ]),
    ("Replication", [
        ("Sent to followers", "Bps", [("{{instance}}", f"sum by (instance) (rate(mesh_replica_sent_bytes_total{{{BROKER}}}[$__rate_interval]))"),
                                      ("{{instance}} to late ones", f"sum by (instance) (rate(mesh_replica_sent_late_bytes_total{{{BROKER}}}[$__rate_interval]))")],
         "Late ones are catching up, and are throttled."),
        ("Furthest behind", "none", [("{{instance}}", f"max by (instance) (mesh_replica_lag_records_max{{{BROKER}}})")], "Records that the last follower misses, of partitions led there."),
        ("ISR changes", "cps", [("{{instance}} out", f"sum by (instance) (rate(mesh_replica_isr_shrinks_total{{{BROKER}}}[$__rate_interval]))"),
                                ("{{instance}} in", f"sum by (instance) (rate(mesh_replica_isr_expands_total{{{BROKER}}}[$__rate_interval]))")],
         "A follower that goes out and in again is too slow, or its network is."),
        ("Leaders", "none", [("{{instance}}", f"sum by (instance) (mesh_replica_leaders{{{BROKER}}})")], "Replicated partitions led; even, a while after a change."),
    ]),
    ("Consumer groups", [
        ("Lag", "none", [("{{group}} {{topic}}", 'topk(20, max by (group, topic) (mesh_group_lag{job="$job"}))')], "Records behind; the twenty furthest."),
        ("Members", "none", [("{{instance}}", f"sum by (instance) (mesh_group_members{{{BROKER}}})")], "Of the groups that are led there."),
        ("Rebalances and lost members", "cps", [
            ("generations", 'sum(rate(mesh_group_assignments_total{job="$job"}[$__rate_interval]))'),
            ("expired", 'sum(rate(mesh_group_members_expired_total{job="$job"}[$__rate_interval]))'),
            ("too slow", 'sum(rate(mesh_group_members_slow_total{job="$job"}[$__rate_interval]))')], "Generations that come and come mean members that come and go."),
        ("Offsets put back after a loss", "none", [("{{instance}}", f"sum by (instance) (mesh_group_rescued_offsets_total{{{BROKER}}})")],
         "From what other brokers had heard, when all replicas of a group's partition were gone."),
    ]),
    ("The machine", [
        ("CPU", "percentunit", [("{{instance}}", f"rate(process_cpu_seconds_total{{{BROKER}}}[$__rate_interval])")], "Cores in use."),
        ("Memory", "bytes", [("{{instance}} resident", f"process_resident_memory_bytes{{{BROKER}}}"),
                             ("{{instance}} records", f"sum by (instance) (mesh_store_memory_bytes{{{BROKER}}})")], "The page cache is not in it."),
        ("Disk free", "bytes", [("{{instance}}", f"mesh_disk_free_bytes{{{BROKER}}}"), ("{{instance}} limit", f"mesh_disk_free_limit_bytes{{{BROKER}}}")],
         "Records are refused below the limit."),
        ("Connections and descriptors", "none", [("{{instance}} clients", f"sum by (instance) (mesh_connections{{{BROKER}}})"),
                                                 ("{{instance}} descriptors", f"process_open_fds{{{BROKER}}}")], ""),
    ]),
]


def panel(number, title, unit, queries, explanation, x, y, width):
    return {
        "id": number, "type": "timeseries", "title": title, "description": explanation,
        "datasource": {"type": "prometheus", "uid": "${datasource}"},
        "gridPos": {"h": HEIGHT, "w": width, "x": x, "y": y},
        "fieldConfig": {"defaults": {"unit": unit, "min": 0, "custom": {"fillOpacity": 10, "lineWidth": 1}}, "overrides": []},
        "options": {"legend": {"displayMode": "list", "placement": "bottom"}, "tooltip": {"mode": "multi", "sort": "desc"}},
        "targets": [{"refId": chr(ord("A") + i), "expr": expression, "legendFormat": legend,
                     "datasource": {"type": "prometheus", "uid": "${datasource}"}} for i, (legend, expression) in enumerate(queries)],
    }


def variable(name, label, query, several):
    return {"name": name, "label": label, "type": "query", "query": {"query": query, "refId": name}, "refresh": 2, "sort": 1, "multi": several, "includeAll": several,
            "datasource": {"type": "prometheus", "uid": "${datasource}"}, "current": {"text": "All", "value": "$__all"} if several else {}}


def dashboard():
    panels, y = [], 0
    for title, row in ROWS:
        panels.append({"id": len(panels) + 1, "type": "row", "title": title, "collapsed": False, "panels": [], "gridPos": {"h": 1, "w": COLUMNS, "x": 0, "y": y}})
        y += 1
        width = COLUMNS // len(row)
        for i, spec in enumerate(row):
            panels.append(panel(len(panels) + 1, *spec, i * width, y, width))
        y += HEIGHT
    return {
        "uid": "mesh", "title": "Mesh", "tags": ["mesh"], "timezone": "browser", "schemaVersion": 38, "version": 1, "editable": True, "refresh": "30s",
        "time": {"from": "now-3h", "to": "now"}, "panels": panels, "annotations": {"list": []}, "links": [],
        "templating": {"list": [
            {"name": "datasource", "label": "Prometheus", "type": "datasource", "query": "prometheus", "current": {}, "refresh": 1},
            variable("job", "Job", "label_values(mesh_ready, job)", False),
            variable("instance", "Broker", 'label_values(mesh_ready{job="$job"}, instance)', True)]},
    }


if __name__ == "__main__":
    print(json.dumps(dashboard(), indent=1))
