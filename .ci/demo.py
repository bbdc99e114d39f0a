"""Judges what `postline demo --json` printed: trust, nothing lost, nothing doubled. Times are reported, not judged."""

import json
import sys

with open(sys.argv[1], encoding="utf-8") as file:
    demo = json.load(file)

FIELDS = """trust first_mail_ms link_up_ms smtp_p50_ms link_p50_ms link_p99_ms lost duplicates delivered_marks
syncs_per_mail connections_per_mail""".split()
missing = [name for name in FIELDS if name not in demo]
wrong = [f"{name} is {demo.get(name)!r}, want {want!r}" for name, want in
         (("trust", "L2"), ("lost", 0), ("duplicates", 0)) if demo.get(name) != want]
for name in FIELDS:
    print("figure", f"demo.{name}", demo.get(name))
if missing or wrong:
    sys.exit("demo: " + "; ".join(wrong + [f"{name} is missing" for name in missing]))
