#!/usr/bin/env python3
"""The runbook (deploy/guide/operating.md) quotes what `mesh status` says, metrics and settings: each quotation must be in the program's text, and each kind of
problem that the program knows must be in the runbook.

    guide.py SOURCE_DIR
"""
import os
import re
import sys

# Where `mesh status` gets its problems: the text is the first string of each (an own function per file, so that a new kind is noticed).
PROBLEMS = {
    "cmd/broker/metadata/describe.c": r'arena_(?:printf|strdup)\(arena, "((?:[^"\\]|\\.)*)"',
    "cmd/broker/metadata/describe_mesh.c": r'arena_(?:printf|strdup)\(arena, "((?:[^"\\]|\\.)*)"',
    "replication/coordinator/replica_facts.c": r'static const struct kind \w+ = \{"((?:[^"\\]|\\.)*)"',
    "replication/coordinator/voters_text.c": r'problem(?:->|s\[count\]\.)what\), "((?:[^"\\]|\\.)*)"',
}
# Known and harmless: told for tidiness only.
WITHOUT_ROW = ("two brokers and a witness, but only %u vote%s yet", "%zu witness%s without use")


def read(path):
    with open(path, encoding="utf-8") as file:
        return file.read()


def joined(text):
    """C's adjacent strings as one."""
    return re.sub(r'"\s*\n\s*"', "", text)


def sources(root):
    texts = []
    for folder in ("cmd", "replication", "gossip", "segment", "lib"):
        for path, _, names in os.walk(os.path.join(root, folder)):
            texts += [joined(read(os.path.join(path, name))) for name in names if name.endswith((".c", ".h"))]
    return "\n".join(texts)


def rows(guide):
    """The first cell of each row below "## Runbook"."""
    runbook = guide.split("## Runbook", 1)[1].split("\n### ", 1)[0]
    return [line.split("|")[1].strip() for line in runbook.splitlines() if line.startswith("| ") and not line.startswith("| it says")]


def main():
    root = sys.argv[1]
    program = sources(root)
    wrong = []
    guides = {name: read(os.path.join(root, "deploy/guide", name)) for name in sorted(os.listdir(os.path.join(root, "deploy/guide"))) if name.endswith(".md")}
    quotes = [quote for row in rows(guides["operating.md"]) for quote in re.findall(r"`([^`]+)`", row) if not quote.startswith("mesh ")]
    if len(quotes) < 15:
        wrong.append(f"operating.md: only {len(quotes)} quotations found: has the table's form changed?")
    for quote in quotes:
        if quote not in program:
            wrong.append(f'operating.md quotes "{quote}", which the program never says')
    for name, text in guides.items():
        for word in set(re.findall(r"`(mesh_[a-z_]+_[a-z]+)`", text)):
            if word not in program and word.rsplit("_", 1)[0] not in program:
                wrong.append(f"{name}: {word} is not in the program")
        for setting in set(re.findall(r"`([a-z]+(?:\.[a-z]+)+)(?:=[^`]*)?`", text)):
            if f'"{setting}"' not in program and not setting.endswith((".py", ".md", ".h")):
                wrong.append(f"{name}: {setting} is no setting")
    for path, pattern in PROBLEMS.items():
        said = [text for text in re.findall(pattern, joined(read(os.path.join(root, path)))) if re.search("[a-z]{4}", text)]
        if not said:
            wrong.append(f"{path}: no problem found there: has its form changed?")
        for text in said:
            if text not in WITHOUT_ROW and not any(quote.strip() in text for quote in quotes):
                wrong.append(f'{path} says "{text}", which has no row in the runbook')
    for line in wrong:
        print(line)
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
