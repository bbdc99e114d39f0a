"""Judges what `postline demo --json` printed: trust, nothing lost, nothing doubled, codes compared. Times are reported, not judged."""

import json
import sys

with open(sys.argv[1], encoding="utf-8") as file:
    demo = json.load(file)

FIELDS = """trust first_mail_ms link_up_ms smtp_p50_ms link_p50_ms link_p99_ms lost duplicates delivered_marks
syncs_per_mail connections_per_mail""".split()
TALK = """devices level messages lost duplicates sealed_p50_ms sealed_p99_ms delivered_p50_ms delivered_marks caught_up
verified""".split()
FILE = "bytes alike previewed told sent_ms fetched_ms gone".split()
talk = demo.get("talk", {})
file = demo.get("sayings", {}).get("file", {})
missing = [name for name in FIELDS if name not in demo] + [f"talk.{name}" for name in TALK if name not in talk]
missing += [f"sayings.file.{name}" for name in FILE if name not in file]
wrong = [f"{name} is {demo.get(name)!r}, want {want!r}" for name, want in
         (("trust", "L2"), ("lost", 0), ("duplicates", 0)) if demo.get(name) != want]
wrong += [f"talk.{name} is {talk.get(name)!r}, want {want!r}" for name, want in
          (("devices", 3), ("level", 4), ("lost", 0), ("duplicates", 0), ("verified", True),
           ("delivered_marks", talk.get("messages"))) if talk.get(name) != want]
wrong += [f"sayings.file.{name} is {file.get(name)!r}" for name in ("alike", "previewed", "gone") if file.get(name) is not True]
for name in FIELDS:
    print("figure", f"demo.{name}", demo.get(name))
for name in TALK:
    print("figure", f"demo.talk.{name}", talk.get(name))
for name in FILE:
    print("figure", f"demo.sayings.file.{name}", file.get(name))
if missing or wrong:
    sys.exit("demo: " + "; ".join(wrong + [f"{name} is missing" for name in missing]))
