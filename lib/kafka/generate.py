#!/usr/bin/env python3
"""Makes messages.h and messages.c from the schema: a struct per message and the tables that codec.c walks.

Usage: generate.py OUT_DIR SCHEMA_FILE...          The notation of the schema: README.md
"""
import os
import re
import sys

SCALARS = {  # name: (C type, table's type)
    "bool": ("bool", "BOOL"), "int8": ("int8_t", "INT8"), "int16": ("int16_t", "INT16"), "int32": ("int32_t", "INT32"),
    "int64": ("int64_t", "INT64"), "uuid": ("struct uuid", "UUID"), "string": ("struct slice", "STRING"),
    "bytes": ("struct slice", "BYTES"), "records": ("struct slice", "RECORDS"),
}
NUMBERS = {"bool": 1, "int8": 8, "int16": 16, "int32": 32, "int64": 64}
NAME = r"[a-z][a-z0-9_]*"
API_LINE = re.compile(rf"api (?P<key>\d+) (?P<name>{NAME}) (?P<versions>\S+) flexible (?P<flexible>\d+|never)$")
FIELD_LINE = re.compile(
    rf"(?P<name>{NAME})\s+(?P<type>{NAME}|\[{NAME}\]|{{{NAME}}})(?P<nullable>\?\S*)?"
    rf"(?:\s+(?P<versions>\d+(?:-\d+|\+)?))?(?:\s+tag (?P<tag>\d+))?(?:\s+= (?P<default>\S+))?$")


class SchemaError(Exception):
    pass


class Field:
    """One line: kind is a scalar's name, "array" or "struct"; element is an array's scalar, or None; fields are a struct's."""

    def __init__(self, match, api, inherited):
        self.name = match["name"]
        self.versions = parse_versions(match["versions"], inherited)
        self.nullable = parse_versions(match["nullable"][1:], self.versions) if match["nullable"] else None
        self.tag = int(match["tag"]) if match["tag"] else None
        self.fields, self.element, self.struct = [], None, None
        inner = match["type"].strip("[]{}")
        if match["type"][0] in "[{":
            self.kind = "array" if match["type"][0] == "[" else "struct"
            if self.kind == "array" and inner in SCALARS:
                self.element = inner
            else:
                self.struct = inner
        else:
            self.kind = inner
        if self.kind not in SCALARS and self.kind not in ("array", "struct"):
            raise SchemaError(f"no such type: {inner}")
        self.default = parse_default(match["default"], self.kind)
        if self.tag is not None and (api.flexible is None or self.versions[0] < api.flexible):
            raise SchemaError(f"{self.name}: a tagged field in a version that is not flexible")
        if self.nullable and (self.kind in NUMBERS or self.kind in ("uuid", "struct")):
            raise SchemaError(f"{self.name}: {self.kind} cannot be null")


class Api:
    def __init__(self, match):
        self.key, self.name = int(match["key"]), match["name"]
        self.versions = parse_versions(match["versions"], None)
        self.flexible = None if match["flexible"] == "never" else int(match["flexible"])
        self.messages = {}  # "request" and "response": lists of fields


def parse_versions(text, all_of):
    """'3+', '2-7', '5' or nothing, within all_of."""
    if not text:
        return all_of
    first, _, last = text.partition("-")
    if text.endswith("+"):
        first, last = text[:-1], str(all_of[1])
    versions = (int(first), int(last or first))
    if versions[0] > versions[1] or (all_of and (versions[0] < all_of[0] or versions[1] > all_of[1])):
        raise SchemaError(f"versions {text} are not within {all_of}")
    return versions


def parse_default(text, kind):
    if text is None:
        return 0
    if kind not in NUMBERS:
        raise SchemaError(f"a default for {kind}")
    value = {"true": 1, "false": 0}[text] if kind == "bool" else int(text, 0)
    if kind != "bool" and not -(1 << (NUMBERS[kind] - 1)) <= value < 1 << (NUMBERS[kind] - 1):
        raise SchemaError(f"default {text} does not fit")
    return value


def add_line(line, depth, state):
    """state: api, and a stack of (depth, fields, versions) of what is open."""
    match = FIELD_LINE.match(line)
    if not match:
        raise SchemaError("not a field: name type[?versions] [versions] [tag n] [= default]")
    while state["open"][-1][0] >= depth:
        state["open"].pop()
    _, fields, versions = state["open"][-1]
    field = Field(match, state["api"], versions)
    if any(field.name == other.name for other in fields):
        raise SchemaError(f"a second {field.name}")
    fields.append(field)
    if field.struct:
        state["open"].append((depth, field.fields, field.versions))


def parse(path):
    apis, state = [], {}
    with open(path, encoding="utf-8") as file:
        for number, raw in enumerate(file, 1):
            line = raw.split("#")[0].rstrip()
            if not line:
                continue
            depth = (len(line) - len(line.lstrip())) // 4
            try:
                if line.startswith("api "):
                    match = API_LINE.match(line)
                    if not match:
                        raise SchemaError("not an api: api key name versions flexible version")
                    state["api"] = Api(match)
                    apis.append(state["api"])
                elif line in ("request", "response"):
                    fields = state["api"].messages.setdefault(line, [])
                    state["open"] = [(0, fields, state["api"].versions)]
                else:
                    add_line(line.strip(), depth, state)
            except (SchemaError, ValueError, KeyError) as error:
                sys.exit(f"{path}:{number}: {error}")
    return apis


# ---- writing C ----

def structs_of(prefix, fields):
    """Each struct below a message, the innermost first: (C name, fields)."""
    for field in fields:
        if field.struct:
            yield from structs_of(prefix, field.fields)
            yield f"{prefix}_{field.struct}", field.fields


def member(prefix, field):
    if field.kind == "struct":
        return f"struct {prefix}_{field.struct} {field.name};"
    if field.kind == "array":
        c_type = SCALARS[field.element][0] if field.element else f"struct {prefix}_{field.struct}"
        return f"struct {{ {c_type} *items; int32_t count; }} {field.name};"
    return f"{SCALARS[field.kind][0]} {field.name};"


def comment(field, versions):
    notes = []
    if field.versions != versions:
        notes.append(f"{field.versions[0]}-{field.versions[1]}")
    if field.nullable:
        notes.append("may be null" if field.nullable == field.versions else f"may be null in {field.nullable[0]}-{field.nullable[1]}")
    if field.tag is not None:
        notes.append(f"tag {field.tag}")
    if field.default:
        notes.append(f"else {field.default}")
    return f" /* {', '.join(notes)} */" if notes else ""


def declare(c_name, prefix, fields, versions):
    lines = [f"struct {c_name} {{"] + [f"    {member(prefix, f)}{comment(f, versions)}" for f in fields] + ["};"]
    lines.append(f"extern const struct kafka_struct {c_name}_form;")
    return "\n".join(lines)


def literal(value):
    return f"INT64_C({value})" if value > -(1 << 63) else "INT64_MIN"


def row(c_name, prefix, field):
    kind = field.kind.upper()
    element = SCALARS[field.element][1] if field.element else "STRUCT"
    of = f"&{prefix}_{field.struct}_form" if field.struct else "NULL"
    null = field.nullable or (1, 0)
    tag = -1 if field.tag is None else field.tag
    return (f'    {{"{field.name}", {of}, {literal(field.default)}, offsetof(struct {c_name}, {field.name}), KAFKA_{kind}, '
            f"KAFKA_{element if field.kind == 'array' else kind}, {field.versions[0]}, {field.versions[1]}, {null[0]}, {null[1]}, {tag}}},")


def define(c_name, prefix, fields):
    # Tagged fields come last, by tag: in that order they are written.
    fields = [f for f in fields if f.tag is None] + sorted((f for f in fields if f.tag is not None), key=lambda f: f.tag)
    lines = [f"static const struct kafka_field {c_name}_fields[] = {{"] if fields else []
    lines += [row(c_name, prefix, f) for f in fields]
    lines += ["};"] if fields else []
    table = f"{c_name}_fields" if fields else "NULL"
    lines.append(f'const struct kafka_struct {c_name}_form = {{"{c_name}", {table}, {len(fields)}, sizeof(struct {c_name})}};')
    return "\n".join(lines)


def message_structs(api):
    for direction, fields in api.messages.items():
        prefix = f"kafka_{api.name}_{direction}"
        seen = {}
        for c_name, inner in structs_of(prefix, fields):
            if c_name in seen:
                sys.exit(f"{c_name}: two structs of one name")
            seen[c_name] = inner
            yield c_name, prefix, inner
        yield prefix, prefix, fields


def write_if_changed(path, text):
    if os.path.exists(path) and open(path, encoding="utf-8").read() == text:
        os.utime(path)
        return
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)


def main():
    out, paths = sys.argv[1], sys.argv[2:]
    apis = sorted((api for path in paths for api in parse(path)), key=lambda api: api.key)
    if len({api.key for api in apis}) != len(apis):
        sys.exit("two apis of one key")
    header = ["/* kafka/messages.h - made by generate.py from lib/kafka/schema. A struct per message: the union of all its versions. */",
              "#ifndef KAFKA_MESSAGES_H", "#define KAFKA_MESSAGES_H", "", '#include "kafka/codec.h"', ""]
    header += ["enum kafka_api_key {"] + [f"    KAFKA_{api.name.upper()} = {api.key}," for api in apis] + ["};", ""]
    source = ['/* kafka/messages.c - made by generate.py from lib/kafka/schema. */', '#include "kafka/messages.h"', "", "#include <stddef.h>", ""]
    for api in apis:
        for c_name, prefix, fields in message_structs(api):
            if not fields:
                sys.exit(f"{c_name}: no fields")
            header += [declare(c_name, prefix, fields, api.versions), ""]
            source += [define(c_name, prefix, fields), ""]
    source += ["const struct kafka_api kafka_apis[] = {"]
    source += [f'    {{{a.key}, "{a.name}", {a.versions[0]}, {a.versions[1]}, {127 if a.flexible is None else a.flexible}, '
               f"&kafka_{a.name}_request_form, &kafka_{a.name}_response_form}}," for a in apis]
    source += ["};", f"const size_t kafka_api_count = {len(apis)};", ""]
    header += ["#endif", ""]
    write_if_changed(os.path.join(out, "messages.h"), "\n".join(header))
    write_if_changed(os.path.join(out, "messages.c"), "\n".join(source))


if __name__ == "__main__":
    main()
