#!/usr/bin/env python3
"""Keeps the house in order: what no compiler checks. Prints one line per finding; exits 1 when there is any.

Usage: tidy.py SOURCE_DIR BUILD_DIR
Rules: include direction, symbols that cores may not use, banned calls, sizes of files and functions, a README per
folder, no machine paths, test-only switches outside of tests.
"""
import os
import re
import shutil
import subprocess
import sys

SOURCE, BUILD = os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2])
findings = []

FILE_LINES_MAX = 800
FUNCTION_LINES_MAX = 90

# Who may include whom (DESIGN section 3, STYLE section 1). Keys are folders; a file belongs to the longest that fits.
LIB = ["base/", "wire/", "crypto/", "sasl/", "mesh/"]
DOORS = ["kafka/"]  # what only the broker speaks
ALLOWED = {
    "lib/base": ["base/", "mesh/"],
    "lib/wire": ["base/", "wire/", "mesh/"],
    "lib/kafka": ["base/", "kafka/", "mesh/"],
    "lib/crypto": ["base/", "crypto/", "mesh/"],
    "lib/sasl": ["base/", "sasl/", "mesh/"],
    "lib/client": LIB + ["client/"],
    "lib/client/examples": ["mesh/"],
    "lib/include": ["mesh/"],
    "segment": LIB + ["segment/"],
    "gossip": LIB + ["gossip/", "segment/"],
    "replication": LIB + ["segment/", "replication/"],
    "cmd/broker": LIB + DOORS + ["segment/", "replication/", "gossip/", "cmd/broker/"],
    "cmd/cli": ["base/", "mesh/", "crypto/", "sasl/", "cmd/cli/", "cmd/broker/broker.h", "cmd/broker/settings.h"],
}
# Our own folders as they appear in includes; anything else is a library's or a generated header.
OURS = re.compile(r"^(base|wire|kafka|crypto|sasl|client|mesh|segment|gossip|replication|cmd|test)/")

# Cores decide; they touch no socket, file, clock, random source or log.
CORES = {
    "libmesh_partition.a", "libmesh_coordinator.a", "libmesh_metadata.a", "libmesh_wire.a", "libmesh_kafka.a", "libmesh_crypto.a", "libmesh_sasl.a", "libmesh_gossip.a",
    "libmesh_consensus_base.a", "libmesh_consensus.a", "libmesh_founding.a", "libmesh_recover.a", "libmesh_groups.a", "libmesh_spread.a", "libmesh_member.a",
}
FORBIDDEN_IN_CORES = re.compile(
    r"^(ev_.*|read|write|pread|pwrite|pwritev.*|preadv.*|open|openat|close|socket|send|sendmsg|recv|recvmsg|connect|accept4?|"
    r"poll|epoll_.*|select|clock_gettime|clock_(monotonic|wall)_.*|gettimeofday|time|getrandom|random_system_bytes|rand|random|"
    r"pthread_.*|log_write|fopen|fprintf|printf|puts|usleep|nanosleep|sleep)$")
BANNED_CALLS = re.compile(r"\b(strcpy|strcat|sprintf|vsprintf|gets|atoi|atol|atof|strtok|alloca|system|tmpnam|mktemp|signal)\s*\(")
SLEEPS = re.compile(r"\b(sleep|usleep|nanosleep|time\.sleep)\s*\(")
MACHINE_PATHS = re.compile("/wor" + "k/|/tmp/bash" + "_jobs|/far" + "m/")


def find(path, line, text):
    findings.append(f"{os.path.relpath(path, SOURCE)}:{line}: {text}")


def tracked():
    if shutil.which("git") and os.path.isdir(os.path.join(SOURCE, ".git")):
        # git's answer tells our files from what a build left behind
        out = subprocess.run(["git", "-c", "safe.directory=*", "-C", SOURCE, "ls-files", "-z", "--cached", "--others",
                              "--exclude-standard"], stdout=subprocess.PIPE, check=True).stdout
        names = [n for n in out.decode().split("\0") if n]
    else:
        names = [os.path.relpath(os.path.join(d, f), SOURCE) for d, _, fs in os.walk(SOURCE) for f in fs
                 if not os.path.relpath(d, SOURCE).startswith(("build", ".git"))]
    return sorted(n for n in names if os.path.isfile(os.path.join(SOURCE, n)))


def folder_of(name):
    best = None
    for folder in ALLOWED:
        if name.startswith(folder + "/") and (best is None or len(folder) > len(best)):
            best = folder
    return best


def strip_comments(text):
    def blank(match):
        return re.sub(r"[^\n]", " ", match.group(0))
    return re.sub(r"/\*.*?\*/|//[^\n]*|\"(?:\\.|[^\"\\\n])*\"", blank, text, flags=re.S)


def check_source(name):
    path = os.path.join(SOURCE, name)
    with open(path, encoding="utf-8") as file:
        text = file.read()
    lines = text.split("\n")
    if len(lines) > FILE_LINES_MAX:
        find(path, len(lines), f"{len(lines)} lines: more than {FILE_LINES_MAX}; is there a second idea inside?")
    folder = folder_of(name)
    for number, line in enumerate(lines, 1):
        match = re.match(r'\s*#\s*include\s+[<"]([^>"]+)[>"]', line)
        if match and folder and OURS.match(match.group(1)):
            if not any(match.group(1).startswith(prefix) for prefix in ALLOWED[folder]):
                find(path, number, f"{folder} may not include {match.group(1)}")
    code = strip_comments(text)
    for match in BANNED_CALLS.finditer(code):
        find(path, code.count("\n", 0, match.start()) + 1, f"banned call: {match.group(1)}")
    if name.startswith("test/"):
        for match in SLEEPS.finditer(code):
            find(path, code.count("\n", 0, match.start()) + 1, f"a test may not sleep: {match.group(1)}")
    if not name.startswith("test/") and not re.match(r"\s*/\*", text):
        find(path, 1, "no comment at the head of the file that says its idea") if name.endswith(".h") else None


def check_functions(names):
    ctags = shutil.which("ctags")
    if ctags is None:
        findings.append("ctags is missing: install universal-ctags")
        return
    sources = [os.path.join(SOURCE, n) for n in names if n.endswith(".c") and not n.startswith("test/")]
    out = subprocess.run([ctags, "-L", "-", "--fields=+ne", "--kinds-C=f", "-f", "-"], input="\n".join(sources),
                         stdout=subprocess.PIPE, text=True, check=True).stdout
    for row in out.splitlines():
        fields = dict(f.split(":", 1) for f in row.split("\t")[3:] if ":" in f)
        if "line" in fields and "end" in fields:
            length = int(fields["end"]) - int(fields["line"]) + 1
            if length > FUNCTION_LINES_MAX:
                find(row.split("\t")[1], int(fields["line"]), f"function {row.split(chr(9))[0]} has {length} lines: more than {FUNCTION_LINES_MAX}")


def check_cores():
    seen = set()
    for directory, _, files in os.walk(BUILD):
        for file in files:
            if file in CORES:
                seen.add(file)
                out = subprocess.run(["nm", "-u", os.path.join(directory, file)], stdout=subprocess.PIPE, text=True, check=True).stdout
                for line in out.splitlines():
                    symbol = line.split()[-1] if line.startswith(" ") else ""
                    if FORBIDDEN_IN_CORES.match(symbol):
                        findings.append(f"{file}: a core may not use {symbol}")
    check_switches()
    for file in sorted(CORES - seen):
        findings.append(f"{file}: not built, so not checked")


# What brings defects back for tests may not be in what is shipped.
SHIPPED = {"mesh", "libmesh.so", "libmesh.a", "libmesh_gossip.a", "libmesh_founding.a", "libmesh_consensus.a",
           "libmesh_consensus_store.a", "libmesh_partition.a", "libmesh_groups.a", "libmesh_spread.a"}
SWITCHES = re.compile(r"\b((gossip|founding|groups|spread|raft|raft_store|replica)_bring_back)\b")


def check_switches():
    for directory, _, files in os.walk(BUILD):
        for file in files:
            path = os.path.join(directory, file)
            if file not in SHIPPED or os.path.islink(path):
                continue
            out = subprocess.run(["nm", path], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True).stdout
            for symbol in sorted({m.group(1) for m in SWITCHES.finditer(out)}):
                findings.append(f"{os.path.relpath(path, BUILD)}: contains the test-only switch {symbol}")


def check_readmes(names):
    folders = {os.path.dirname(n) for n in names if n.endswith((".c", ".h", ".py"))}
    for folder in sorted(folders):
        at = folder
        while at and not os.path.isfile(os.path.join(SOURCE, at, "README.md")):
            at = os.path.dirname(at)
        if not at:
            findings.append(f"{folder}: no README.md here or above (but for the root's)")


def main():
    names = tracked()
    for name in names:
        if name.endswith((".c", ".h")):
            check_source(name)
        if name.endswith((".c", ".h", ".py", ".sh", ".md", ".txt", ".cmake", ".proto", ".json", ".yml")) and "corpus" not in name:
            with open(os.path.join(SOURCE, name), encoding="utf-8", errors="replace") as file:
                for number, line in enumerate(file, 1):
                    if MACHINE_PATHS.search(line):
                        find(os.path.join(SOURCE, name), number, "a path of one machine")
        if name.endswith(".py") and name.startswith("test/"):
            with open(os.path.join(SOURCE, name), encoding="utf-8") as file:
                code = file.read()
            for match in SLEEPS.finditer(re.sub(r"#[^\n]*", "", code)):
                if "tidy.py" not in name:
                    find(os.path.join(SOURCE, name), code.count("\n", 0, match.start()) + 1, "a test may not sleep")
    check_functions(names)
    check_cores()
    check_readmes(names)
    for finding in findings:
        print(finding)
    print(f"tidy: {len(names)} files, {len(findings)} findings")
    return 1 if findings else 0


sys.exit(main())
