"""What users of the Python package do with a daemon that has a snapshot `py`; nothing of the package is changed."""

import time
import unittest

from forkd import Controller, ControllerError

SANDBOX_MEMBERS = {
    "id",
    "snapshot_tag",
    "netns",
    "guest_addr",
    "created_at_unix",
    "pid",
    "memory_limit_mib",
    "has_branched",
    "last_branch_memory_path",
    "branch_count",
}
DEADLINE_SECS = 120


class Case(unittest.TestCase):
    def setUp(self):
        self.controller = Controller(timeout=DEADLINE_SECS)

    def tearDown(self):
        for sandbox in self.controller.list_sandboxes():
            self.controller.kill_sandbox(sandbox["id"])
        for snapshot in self.controller.list_snapshots():
            if snapshot["tag"] != "py":
                self.controller.delete_snapshot(snapshot["tag"])

    def spawn(self, tag="py", **how):
        return self.controller.spawn_sandboxes(tag, **how)[0]["id"]

    def eval(self, sandbox, code):
        answer = self.controller.eval_code(sandbox, code)
        self.assertEqual((answer["error"], answer["exit_code"]), (None, 0), answer)
        return answer["result"]

    def refused(self, status, call, *args, **named):
        """The text of a refusal with this status."""
        with self.assertRaises(ControllerError) as caught:
            call(*args, **named)
        self.assertEqual(caught.exception.status, status, caught.exception)
        self.assertEqual(list(caught.exception.body), ["error"])
        return caught.exception.body["error"]


class Snapshots(Case):
    def test_list(self):
        (snapshot,) = self.controller.list_snapshots()
        self.assertEqual(
            (snapshot["tag"], snapshot["status"], snapshot["bootable"]), ("py", "ready", True)
        )

    def test_delete_of_an_unknown_one(self):
        self.assertIn("gone", self.refused(404, self.controller.delete_snapshot, "gone"))


class Sandboxes(Case):
    def test_spawn_list_get_kill(self):
        children = self.controller.spawn_sandboxes("py", n=2)
        self.assertEqual(len(children), 2)
        for child in children:
            self.assertEqual(set(child), SANDBOX_MEMBERS)
            self.assertEqual(child["snapshot_tag"], "py")
        ids = sorted(child["id"] for child in children)
        self.assertEqual([each["id"] for each in self.controller.list_sandboxes()], ids)
        self.assertEqual(self.controller.get_sandbox(children[0]["id"]), children[0])
        for id in ids:
            self.assertIsNone(self.controller.kill_sandbox(id))
            self.assertIn(id, self.refused(404, self.controller.kill_sandbox, id))
        self.assertEqual(self.controller.list_sandboxes(), [])

    def test_wishes_for_later_branches(self):
        sandbox = self.spawn(prewarm=True, live_fork=True)
        self.assertEqual(self.eval(sandbox, "1+1"), "2")

    def test_ping(self):
        self.assertIs(self.controller.ping_sandbox(self.spawn())["pong"], True)

    def test_exec(self):
        sandbox = self.spawn()
        run = self.controller.exec_command
        self.assertEqual(
            run(sandbox, ["sh", "-c", "echo out; echo err >&2; exit 3"]),
            {"stdout": "out\n", "stderr": "err\n", "exit_code": 3},
        )
        self.assertEqual(run(sandbox, ["sh", "-c", "kill -9 $$"])["exit_code"], -9)
        missing = run(sandbox, ["no-such-program"])
        self.assertEqual(missing["exit_code"], 1)
        self.assertIn("no-such-program", missing["stderr"])
        late = run(sandbox, ["sleep", "60"], timeout_secs=1)
        self.assertEqual(late["exit_code"], 1)
        self.assertIn("timeout_secs", late["stderr"])

    def test_eval(self):
        sandbox = self.spawn()
        run = self.controller.eval_code
        self.assertEqual(run(sandbox, "1+1"), {"result": "2", "error": None, "exit_code": 0})
        self.assertEqual(run(sandbox, "x = 5"), {"result": None, "error": None, "exit_code": 0})
        self.assertEqual(run(sandbox, "x")["result"], "5")
        failed = run(sandbox, "nope")
        self.assertEqual((failed["result"], failed["exit_code"]), (None, 1))
        self.assertIn("NameError", failed["error"])

    def test_refusals(self):
        self.assertIn("gone", self.refused(404, self.controller.spawn_sandboxes, "gone"))
        self.assertIn("snapshot_tag", self.refused(400, self.controller.spawn_sandboxes, "../py"))
        self.assertIn("n must be", self.refused(400, self.controller.spawn_sandboxes, "py", n=0))
        self.assertIn("n must be", self.refused(400, self.controller.spawn_sandboxes, "py", n=1001))
        self.refused(422, self.controller.spawn_sandboxes, "py", n="2")
        self.refused(400, self.controller.spawn_sandboxes, "py", memory_limit_mib=0)
        for call in (
            self.controller.get_sandbox,
            self.controller.ping_sandbox,
            self.controller.kill_sandbox,
            self.controller.branch_sandbox,
        ):
            self.assertEqual(self.refused(404, call, "sb-gone"), "sandbox sb-gone not found")
        self.refused(404, self.controller.exec_command, "sb-gone", ["true"])
        self.refused(404, self.controller.eval_code, "sb-gone", "1")
        sandbox = self.spawn()
        self.assertEqual(
            self.refused(400, self.controller.exec_command, sandbox, []),
            "args must contain at least one element",
        )


class Branches(Case):
    def setUp(self):
        super().setUp()
        self.source = self.spawn()
        self.eval(self.source, "counter = 41")

    def continues(self, tag):
        """A child of the branch has the source's memory, and both go on apart."""
        child = self.spawn(tag)
        self.assertEqual(self.eval(child, "counter += 1; counter"), "42")
        self.assertEqual(self.eval(self.source, "counter"), "41")
        self.controller.kill_sandbox(child)

    def branch(self, **how):
        info = self.controller.branch_sandbox(self.source, **how)
        self.assertEqual(
            (info["branched_from"], info["status"], info["bootable"]), (self.source, "ready", True)
        )
        self.assertIsInstance(info["pause_ms"], int)
        self.assertEqual(info["tag"], how.get("tag", info["tag"]))
        self.continues(info["tag"])
        return info

    def test_full_is_the_default(self):
        info = self.branch()
        self.assertRegex(info["tag"], f"^branch-{self.source}-[0-9]+-[0-9a-f]{{4}}$")
        self.assertNotIn("diff_ms", info)
        source = self.controller.get_sandbox(self.source)
        self.assertEqual((source["has_branched"], source["branch_count"]), (True, 1))
        self.assertTrue(source["last_branch_memory_path"].startswith(info["dir"]))

    def test_full(self):
        self.branch(tag="full", mode="full")

    def test_diff(self):
        for how in ({"tag": "diff", "mode": "diff"}, {"tag": "legacy", "diff": True}):
            info = self.branch(**how)
            self.assertIsInstance(info["diff_ms"], int)
            self.assertGreater(info["diff_physical_bytes"], 0)
            self.assertEqual(info["diff_logical_bytes"], 256 * 1024 * 1024)

    def test_measure_diff(self):
        self.assertIn("diff_physical_bytes", self.branch(tag="measured", measure_diff=True))

    def test_live(self):
        self.branch(tag="live", mode="live")

    def test_live_without_waiting(self):
        info = self.controller.branch_sandbox(self.source, tag="later", mode="live", wait=False)
        self.assertEqual((info["tag"], info["status"], info["bootable"]), ("later", "writing", False))
        deadline = time.monotonic() + DEADLINE_SECS
        while info["status"] == "writing":
            self.assertLess(time.monotonic(), deadline, "the branch is not done")
            (info,) = [each for each in self.controller.list_snapshots() if each["tag"] == "later"]
        self.assertEqual((info["status"], info["bootable"]), ("ready", True), info)
        self.continues("later")

    def test_branch_of_a_branch(self):
        self.branch(tag="first", mode="diff")
        self.source = self.spawn("first")
        self.branch(tag="second", mode="diff")
        self.controller.delete_snapshot("first")
        self.continues("second")

    def test_refusals(self):
        branch = self.controller.branch_sandbox
        self.refused(400, branch, self.source, tag="../x")
        self.refused(400, branch, self.source, diff=True, measure_diff=True)
        self.refused(400, branch, self.source, mode="diff", wait=False)
        self.refused(422, branch, self.source, mode="Diff")
        self.assertIn("py", self.refused(409, branch, self.source, tag="py"))
        self.assertEqual(self.controller.get_sandbox(self.source)["branch_count"], 0)


if __name__ == "__main__":
    unittest.main()
