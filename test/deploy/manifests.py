"""The manifests as kubectl would send them: as much of kustomize as deploy/k8s uses, and an error for what it does not know."""
import copy
import os

import yaml


def load(path):
    with open(path, encoding="utf-8") as file:
        return [each for each in yaml.safe_load_all(file) if each is not None]


def patch(thing, operations):
    for operation in operations:
        if operation["op"] != "replace":
            raise ValueError(f"a patch that is not known here: {operation}")
        *way, last = operation["path"].strip("/").split("/")
        for word in way:
            thing = thing[int(word) if isinstance(thing, list) else word]
        if last not in thing:
            raise ValueError(f"nothing is there to replace: {operation['path']}")
        thing[last] = operation["value"]


def render(folder):
    """Every object of an overlay; a ConfigMap or Secret made from files has their names as keys (a Secret's value is None: nobody has made it)."""
    (kustomization,) = load(f"{folder}/kustomization.yaml")
    known = {"apiVersion", "kind", "resources", "labels", "configMapGenerator", "secretGenerator", "replicas", "patches"}
    if not known.issuperset(kustomization):
        raise ValueError(f"fields that are not known here: {set(kustomization) - known}")
    objects = []
    for resource in kustomization["resources"]:
        path = os.path.join(folder, resource)
        objects += copy.deepcopy(render(path) if os.path.isdir(path) else load(path))
    for each in kustomization.get("configMapGenerator", []):
        data = {}
        for name in each["files"]:
            with open(f"{folder}/{name}", encoding="utf-8") as file:
                data[name] = file.read()
        objects.append({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": each["name"]}, "data": data})
    for each in kustomization.get("secretGenerator", []):
        objects.append({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": each["name"]}, "data": dict.fromkeys(each["files"])})
    for labels in kustomization.get("labels", []):
        for each in objects:
            each["metadata"].setdefault("labels", {}).update(labels["pairs"])
    for each in kustomization.get("replicas", []):
        find(objects, "StatefulSet", each["name"])["spec"]["replicas"] = each["count"]
    for each in kustomization.get("patches", []):
        patch(find(objects, each["target"]["kind"], each["target"]["name"]), yaml.safe_load(each["patch"]))
    return objects


def find(objects, kind, name):
    found = [each for each in objects if each["kind"] == kind and each["metadata"]["name"] == name]
    if len(found) != 1:
        raise ValueError(f"{len(found)} objects {kind}/{name}")
    return found[0]


def container(objects):
    (only,) = find(objects, "StatefulSet", "mesh")["spec"]["template"]["spec"]["containers"]
    return only


def environment(objects, fields):
    """What the broker's variables are in a pod with these fields; one of a label that is not there is empty, as Kubernetes has it."""
    values = {}
    for each in container(objects)["env"]:
        value = fields.get(each["valueFrom"]["fieldRef"]["fieldPath"], "") if "valueFrom" in each else each["value"]
        values[each["name"]] = expand(value, values)
    return values


def expand(text, values):
    for name, value in values.items():
        text = text.replace(f"$({name})", value)
    return text
