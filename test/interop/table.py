#!/usr/bin/env python3
"""Makes CLIENTS.md of results.json: what became of every client, and of librdkafka's own tests."""
import collections
import json
import sys

from librdkafka import KNOWN

CASES = {"codecs": "codecs", "group": "groups", "seek": "seek by time", "transactions": "transactions"}
MARKS = {"passed": "yes", "failed": "**no**", None: "not run"}


def one_line(text, most=110):
    text = " ".join(text.split()).replace("|", "\\|")
    return text if len(text) <= most else text[:most] + "..."


def cell(rows, case):
    row = rows.get(case, {})
    mark = MARKS[row.get("state")]
    if case == "codecs" and row.get("state") == "passed":
        return row["detail"]
    if case == "transactions" and row.get("state") == "passed":
        return "has none" if row["detail"].startswith("absent") else "told no"
    return mark


def tell_clients(results):
    print("| client | " + " | ".join(CASES.values()) + " |\n|---" + "|---" * len(CASES) + "|")
    for name, rows in sorted(results.items()):
        print(f"| {name} | " + " | ".join(cell(rows, case) for case in CASES) + " |")


def tell_tools(name, rows):
    print(f"\n{name}: " + ", ".join(f"{case.replace('_', ' ')} {MARKS[row['state']]}" for case, row in sorted(rows.items())) + ".")


def tell_suite(name, rows):
    counts = collections.Counter(row["state"] for row in rows.values() if not row["why"].startswith("Filtered"))
    print(f"\n### {name}\n\n{counts['passed']} passed, {counts['failed']} failed, {counts['skipped']} skipped.")
    for state, title in (("failed", "Failed"), ("skipped", "Skipped")):
        chosen = {test: row["why"] for test, row in sorted(rows.items()) if row["state"] == state and not row["why"].startswith("Filtered")}
        if chosen:
            print(f"\n{title}:\n")
            for test, why in chosen.items():
                known = KNOWN.get(test[:4]) if state == "failed" else None
                print(f"- {test}: {known or one_line(why) or 'by itself'}")


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        results = json.load(file)
    suites = {name: rows for name, rows in results.items() if name.startswith("librdkafka-")}
    tools = {name: rows for name, rows in results.items() if name.startswith("kafka-tools")}
    print("# Clients of Kafka's protocol with Mesh\n\nMade by `table.py` of `results.json`, which `run` writes: clients as their registries have them, unchanged, against three brokers.\n"
          "*codecs*: what it compresses with is taken, and read back by it and by kcat. *groups*: a second member joins, the coordinator is killed, a member leaves,\n"
          "the group stops and comes back, and nothing is lost. *seek by time*: what was written since. *transactions*: refused in words, and the client goes on.\n")
    tell_clients({name: rows for name, rows in results.items() if name not in suites and name not in tools})
    for name, rows in sorted(tools.items()):
        tell_tools(name, rows)
    if suites:
        print("\n## librdkafka's own tests\n\nThose that need a broker. *direct*: three brokers, clients go to whoever leads; *forward*: by the gateway of a broker that keeps no records,\n"
              "so that all is forwarded; *gateway*: by the gateway of one of three.")
    for name, rows in sorted(suites.items()):
        tell_suite(name, rows)


if __name__ == "__main__":
    main()
