"""The token, as the unchanged Python package sends it and sees it refused."""

import unittest

from forkd import Controller, ControllerError


class Token(unittest.TestCase):
    def refusal(self, token):
        with self.assertRaises(ControllerError) as caught:
            Controller(token=token).list_snapshots()
        return caught.exception.status, caught.exception.body

    def test_from_the_environment(self):
        self.assertEqual(Controller().list_snapshots(), [])

    def test_missing(self):
        self.assertEqual(self.refusal(""), (401, {"error": "missing bearer token"}))

    def test_wrong(self):
        self.assertEqual(
            self.refusal("some-other-token"), (401, {"error": "invalid bearer token"})
        )


if __name__ == "__main__":
    unittest.main()
