#!/usr/bin/env python3
"""deploy/k8s, read: what the objects say fits together, and what a cluster or the broker would refuse is found here.

kubernetes-validate (PyPI; test/run fetches it where the network has that) holds it against the real schemas.

Environment: MESH_SOURCE."""
import os
import re
import sys
import unittest

import manifests

SOURCE = os.environ["MESH_SOURCE"]
SIZES = {"one": 1, "three": 3, "five": 5}


def seconds(text):
    return int(re.fullmatch(r"(\d+)s", text).group(1))


class Manifests(unittest.TestCase):
    def setUp(self):
        self.all = {name: manifests.render(f"{SOURCE}/deploy/k8s/overlays/{name}") for name in SIZES}
        self.objects = self.all["three"]
        self.set = manifests.find(self.objects, "StatefulSet", "mesh")["spec"]
        self.pod = self.set["template"]["spec"]
        self.container = manifests.container(self.objects)
        self.labels = self.set["template"]["metadata"]["labels"]

    def test_the_sizes_differ_in_their_number_alone(self):
        self.assertEqual(sorted(SIZES), sorted(os.listdir(f"{SOURCE}/deploy/k8s/overlays")))
        for name, count in SIZES.items():
            each = manifests.find(self.all[name], "StatefulSet", "mesh")["spec"]
            self.assertEqual(each["replicas"], count)
            self.assertEqual(manifests.environment(self.all[name], {})["MESH_EXPECT"], str(count))
            self.assertEqual(manifests.container(self.all[name])["args"], self.container["args"], "the same command on every pod")

    def test_kubernetes_own_schemas_allow_all_of_it(self):
        sys.path.append(f"{SOURCE}/build/tools/python")
        try:
            import kubernetes_validate
        except ImportError:
            self.skipTest("kubernetes-validate is not there: test/run fetches it")
        for name, objects in self.all.items():
            for each in objects:
                with self.subTest(overlay=name, kind=each["kind"], name=each["metadata"]["name"]):
                    kubernetes_validate.validate(each, kubernetes_validate.latest_version(), strict=True)
        broken = dict(self.all["one"][0], sepc={})
        with self.assertRaises(kubernetes_validate.ValidationError):
            kubernetes_validate.validate(broken, kubernetes_validate.latest_version(), strict=True)

    def test_what_is_named_is_there(self):
        names = {(each["kind"], each["metadata"]["name"]) for each in self.objects}
        self.assertEqual(len(names), len(self.objects))
        self.assertIn(("Service", self.set["serviceName"]), names)
        volumes = {each["name"]: each for each in self.pod["volumes"]} | {each["metadata"]["name"]: each for each in self.set["volumeClaimTemplates"]}
        for mount in self.container["volumeMounts"]:
            volume = volumes.pop(mount["name"])
            if "configMap" in volume:
                self.assertIn(("ConfigMap", volume["configMap"]["name"]), names)
            if "secret" in volume:
                self.assertIn(("Secret", volume["secret"]["secretName"]), names)
        self.assertEqual(volumes, {}, "volumes that nobody mounts")
        for kind, way in ("StatefulSet", ("spec", "selector", "matchLabels")), ("PodDisruptionBudget", ("spec", "selector", "matchLabels")), \
                         ("NetworkPolicy", ("spec", "podSelector", "matchLabels")), ("Service", ("spec", "selector")):
            for each in self.objects:
                if each["kind"] == kind:
                    chosen = each
                    for word in way:
                        chosen = chosen[word]
                    self.assertLessEqual(chosen.items(), self.labels.items(), each["metadata"]["name"])

    def test_the_services(self):
        headless = manifests.find(self.objects, "Service", "mesh-headless")["spec"]
        self.assertEqual((headless["clusterIP"], headless["publishNotReadyAddresses"]), ("None", True))
        ports = {port["name"] for port in self.container["ports"]}
        for name in "mesh", "mesh-headless":
            for port in manifests.find(self.objects, "Service", name)["spec"]["ports"]:
                self.assertIn(port["targetPort"], ports)
        self.assertIn(self.set["serviceName"], self.container["args"])
        advertised = manifests.environment(self.objects, {"metadata.name": "mesh-2", "metadata.namespace": "prod"})["MESH_ADVERTISE"]
        self.assertEqual(advertised, "mesh-2.mesh-headless.prod.svc.cluster.local")

    def test_the_pod_has_no_rights(self):
        self.assertTrue(self.pod["securityContext"]["runAsNonRoot"])
        self.assertFalse(self.pod["automountServiceAccountToken"])
        context = self.container["securityContext"]
        self.assertEqual((context["readOnlyRootFilesystem"], context["allowPrivilegeEscalation"], context["capabilities"]), (True, False, {"drop": ["ALL"]}))
        with open(f"{SOURCE}/deploy/docker/Dockerfile", encoding="utf-8") as file:
            user, group = re.search(r"^USER (\d+):(\d+)$", file.read(), re.M).groups()
        self.assertEqual((self.pod["securityContext"]["runAsUser"], self.pod["securityContext"]["runAsGroup"]), (int(user), int(group)))
        key = next(each["secret"] for each in self.pod["volumes"] if "secret" in each)
        self.assertEqual(key["defaultMode"], 0o440, "the broker refuses a key that others can read")

    def test_a_pod_that_ends_has_the_time_for_it(self):
        command = self.container["lifecycle"]["preStop"]["exec"]["command"]
        stop_ms = 30000  # stop.ms.max, unless set
        self.assertGreaterEqual(self.set["template"]["spec"]["terminationGracePeriodSeconds"], seconds(command[-1]) + stop_ms / 1000 + 5)
        probe = self.container["startupProbe"]
        self.assertGreaterEqual(probe["periodSeconds"] * probe["failureThreshold"], 1800, "one that waits for others is not ended")

    def test_a_majority_stays(self):
        self.assertEqual(manifests.find(self.objects, "PodDisruptionBudget", "mesh")["spec"]["maxUnavailable"], 1)
        self.assertEqual(self.set["podManagementPolicy"], "Parallel")
        term = self.pod["affinity"]["podAntiAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"][0]
        self.assertEqual(term["topologyKey"], "kubernetes.io/hostname")
        self.assertEqual(self.pod["topologySpreadConstraints"][0]["topologyKey"], "topology.kubernetes.io/zone")
        self.assertEqual(manifests.environment(self.objects, {"metadata.labels['topology.kubernetes.io/zone']": "z1"})["MESH_ZONE"], "z1")
        self.assertEqual(manifests.environment(self.objects, {})["MESH_ZONE"], "", "without the label there is no zone")

    def test_the_policy_lets_brokers_and_name_servers_through(self):
        policy = manifests.find(self.objects, "NetworkPolicy", "mesh")["spec"]
        self.assertEqual(sorted(policy["policyTypes"]), ["Egress", "Ingress"])
        for direction, word in ("ingress", "from"), ("egress", "to"):
            between = [rule for rule in policy[direction] if rule[word] == [{"podSelector": {"matchLabels": {"app.kubernetes.io/name": "mesh"}}}]]
            self.assertEqual(sorted(port["protocol"] for rule in between for port in rule["ports"]), ["TCP", "UDP"])
        asked = [{(port["port"], port["protocol"]) for port in rule["ports"]} for rule in policy["egress"]]
        self.assertIn({(53, "UDP"), (53, "TCP")}, asked, "a long answer of a name server comes by TCP")


if __name__ == "__main__":
    unittest.main(verbosity=2)
