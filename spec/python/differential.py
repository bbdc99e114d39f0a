#!/usr/bin/env python3
"""Asks this implementation and another one the same questions, made from a seed, and compares the answers.

    values ──make──▶ bytes ──┬──────────────▶ verify, read     by both, of what either made
                             └── mutated ───▶ verify, read     the same verdict, and the same error class

    python3 spec/python/differential.py [--seed N] [--count N] [--family NAME] COMMAND…

COMMAND starts the other shim; `--count` is how many things are made of each family, each of which is then spoilt in several
ways. A difference is printed with its question; the exit status is 1 if there was one.
"""

import argparse
import json
import random
import subprocess
import sys
from typing import Any

import shim
from differ.families import FAMILIES


class Asker:
    """Puts each question to both, counts, and prints where they differ."""

    def __init__(self, command: list[str]) -> None:
        self._other = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8"
        )
        if self._other.stdin is None or self._other.stdout is None:
            raise RuntimeError("a shim without pipes")
        self._input, self._output = self._other.stdin, self._other.stdout
        self.asked = self.refused = self.different = 0
        self._turn = 0

    def __call__(self, family: str, op: str, given: dict[str, Any]) -> dict[str, Any]:
        """Both answers if they are the same, else each in turn, so that what either makes is read by both."""
        self.asked += 1
        request = {"id": str(self.asked), "family": family, "op": op, "input": given}
        self._send(request)
        ours = shim.answer(request)
        theirs = self._receive(request)
        self.refused += "error" in ours
        if ours != theirs:
            self.different += 1
            print(f"differ on {json.dumps(request)}\n    python {json.dumps(ours)}\n    other  {json.dumps(theirs)}")
        self._turn ^= 1
        return ours if self._turn else theirs

    def close(self) -> None:
        """Ends the other shim by ending its input."""
        self._other.communicate(timeout=10)

    def _send(self, request: dict[str, Any]) -> None:
        self._input.write(json.dumps(request) + "\n")
        self._input.flush()

    def _receive(self, request: dict[str, Any]) -> dict[str, Any]:
        line = self._output.readline()
        if not line:
            raise RuntimeError(f"the other shim ended at {json.dumps(request)}")
        answer: dict[str, Any] = json.loads(line)
        return answer


def main() -> int:
    """Runs the families; the exit status says whether the two agreed."""
    parser = argparse.ArgumentParser(description="compares two implementations", allow_abbrev=False)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--family", choices=FAMILIES)
    parser.add_argument("command", nargs=argparse.REMAINDER)
    args = parser.parse_args()
    if not args.command:
        parser.error("the other shim's command is missing")
    ask = Asker(args.command)
    for name, family in FAMILIES.items():
        if args.family in (None, name):
            for turn in range(args.count):
                family(random.Random(f"{args.seed} {name} {turn}"), ask)
    ask.close()
    print(f"figure differential.asked {ask.asked} ({ask.refused} refused)")
    print(f"{ask.different} differences")
    return 1 if ask.different else 0


if __name__ == "__main__":
    sys.exit(main())
