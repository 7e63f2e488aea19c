"""Runs the cases of a test and keeps what became of each in a file of JSON that is there for many."""
import json
import os
import sys
import unittest


class Keeper(unittest.TextTestResult):
    """Writes down what became of each case; a test says more in `detail`."""

    rows = {}

    def note(self, test, state, error=None):
        case = test.id().rsplit(".", 1)[-1].removeprefix("test_")
        self.rows[case] = {"state": state, "detail": getattr(test, "detail", ""), **({"error": str(error[1])[:500]} if error else {})}

    def addSuccess(self, test):
        super().addSuccess(test)
        self.rows.setdefault(test.id().rsplit(".", 1)[-1].removeprefix("test_"), {"state": "passed", "detail": getattr(test, "detail", "")})

    def addFailure(self, test, err):
        super().addFailure(test, err)
        self.note(test, "failed", err)

    def addError(self, test, err):
        super().addError(test, err)
        self.note(test, "failed", err)

    def addSubTest(self, test, subtest, err):
        super().addSubTest(test, subtest, err)
        if err is not None:
            self.note(test, "failed", err)


def update(path, name, rows):
    known = {}
    if os.path.exists(path):
        with open(path, encoding="utf-8") as file:
            known = json.load(file)
    known.setdefault(name, {}).update(rows)
    with open(path, "w", encoding="utf-8") as file:
        json.dump(known, file, indent=1, sort_keys=True, ensure_ascii=False)
        file.write("\n")


def run_and_keep(case, name, path):
    """MESH_INTEROP_CASES: these alone. Ends the program."""
    only = os.environ.get("MESH_INTEROP_CASES", "").split()
    chosen = [test for test in unittest.TestLoader().getTestCaseNames(case) if not only or test.removeprefix("test_") in only]
    outcome = unittest.TextTestRunner(resultclass=Keeper, verbosity=2).run(unittest.TestSuite(case(test) for test in chosen))
    update(path, name, Keeper.rows)
    sys.exit(0 if outcome.wasSuccessful() else 1)
