"""Writes spec/05-limits.md from the constants and doc lines of protocol-core's limits.rs; a test compares the numbers."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "protocol-core/src"
HEAD = """# Limits

Every bound ([P-6]), with the numbers of `protocol-core/src/limits.rs`; a test compares the two. Names say the unit: bytes,
milliseconds (`…_MS`), days; what has none is a count. A value at a bound is taken, one above it is refused.

A node may take less than a bound only where a chapter says so (Ready's window and body size); it must never take more.
"""


def chapter(units, bounds):
    """The chapter's text, from the texts of time.rs and limits.rs."""
    known, doc, lines = {}, "", [HEAD]
    for text, shown in ((units, False), (bounds, True)):
        for line in text.splitlines():
            constant = re.match(r"pub const (\w+): \w+ = ([\w *]+(?:/ \w+)?);", line)
            if line.startswith("/// "):
                doc = f"{doc} {line[4:]}".strip()
                continue
            if shown and line.startswith("// "):
                lines.append(f"\n## {line[3:]}\n\n| bound | number | meaning |\n|---|---:|---|\n")
            if constant:
                name, value = constant.groups()
                known[name] = eval(value.replace("/", "//"), {"__builtins__": {}}, known)
                if shown:
                    meaning = re.sub(r"\[(`\w+`)\]", r"\1", doc)
                    lines.append(f"| `{name}` | {known[name]} | {meaning} |\n")
            doc = ""
    return "".join(lines)


if __name__ == "__main__":
    text = chapter((SOURCE / "time.rs").read_text(), (SOURCE / "limits.rs").read_text())
    (ROOT / "spec/05-limits.md").write_text(text)
