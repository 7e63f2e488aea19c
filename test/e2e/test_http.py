#!/usr/bin/env python3
"""The http door: health, metrics, and what is not there."""
import json
import re
import urllib.error
import urllib.request

from harness import Case, main


class Http(Case):
    def setUp(self):
        super().setUp()
        self.start_broker()

    def get(self, path, code=200, method="GET"):
        request = urllib.request.Request(f"http://{self.broker.address}{path}", method=method)
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                self.assertEqual(answer.status, code)
                return answer.headers, answer.read()
        except urllib.error.HTTPError as error:
            with error:
                self.assertEqual(error.code, code, error.read())
                return error.headers, b""

    def test_health(self):
        self.get("/livez")
        self.get("/readyz")

    def test_metrics_are_prometheus_text_and_count(self):
        self.mesh("produce", "counted", stdin=b"x\n" * 500)
        headers, body = self.get("/metrics")
        self.assertTrue(headers["Content-Type"].startswith("text/plain"), headers["Content-Type"])
        sample = re.compile(r'^[a-zA-Z_:][a-zA-Z0-9_:]*(\{([a-zA-Z_][a-zA-Z0-9_]*="(\\.|[^"\\])*",?)*\})? [-+0-9.eE]+(Inf|NaN)?$')
        types, samples = {}, {}
        for line in body.decode().splitlines():
            if line.startswith("# TYPE "):
                name, kind = line.split()[2:4]
                self.assertNotIn(name, types)
                types[name] = kind
            elif line and not line.startswith("#"):
                self.assertRegex(line, sample)
                samples[line.rsplit(" ", 1)[0]] = float(line.rsplit(" ", 1)[1].replace("+Inf", "inf"))
        self.assertGreater(len(types), 10)
        self.assertTrue(any('topic="counted"' in key and value == 500 for key, value in samples.items()), "500 records of 'counted'")
        for name, kind in types.items():
            if kind == "histogram":
                self.assertTrue(any(key.startswith(name + "_bucket") and 'le="+Inf"' in key for key in samples), name)

    def test_topics_as_json(self):
        self.mesh("topic", "create", "orders", "--partitions", "3")
        _, body = self.get("/v1/topics")
        self.assertIn("orders", body.decode())
        json.loads(body)
        json.loads(self.get("/v1/topics/orders")[1])
        self.get("/v1/topics/absent", code=404)

    def test_what_is_not_there(self):
        self.get("/nothing", code=404)
        self.get("/metrics", code=405, method="DELETE")
        self.get("/v1/topics/" + "x" * 300, code=404)

    def test_one_connection_many_questions(self):
        with self.connect() as peer:
            for _ in range(50):
                peer.sendall(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n" * 2)
            peer.sendall(b"GET /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            answer = b""
            while part := peer.recv(65536):
                answer += part
        self.assertEqual(answer.count(b"HTTP/1.1 200"), 101)


if __name__ == "__main__":
    main()
