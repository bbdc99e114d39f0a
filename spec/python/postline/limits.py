"""The bounds, read from the tables of `spec/05-limits.md`: there is no second copy that could differ."""

import re
from pathlib import Path

_ROW = re.compile(r"^\| `([A-Z0-9_]+)` \| ([0-9]+) \|", re.MULTILINE)
_CHAPTER = Path(__file__).resolve().parents[2] / "05-limits.md"

LIMITS: dict[str, int] = {name: int(number) for name, number in _ROW.findall(_CHAPTER.read_text("utf-8"))}
