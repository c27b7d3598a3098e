"""Keeps the generated part of a documentation page at what the recorded results say."""

from __future__ import annotations

from typing import Sequence


def refresh(path: str, begin: str, end: str, lines: Sequence[str], check: bool) -> bool:
    """Puts `lines` between the marker lines of a page. With `check` nothing is written: False when the page differs."""
    with open(path, encoding="utf-8") as file:
        text = file.read()
    if text.count(begin) != 1 or text.count(end) != 1:
        raise ValueError(f"{path}: needs the two lines '{begin}' and '{end}', each once")
    body = "\n".join(lines or ["None recorded yet."])
    fresh = f"{text.split(begin)[0]}{begin}\n\n{body}\n\n{end}{text.split(end)[1]}"
    if fresh == text:
        return True
    if not check:
        with open(path, "w", encoding="utf-8") as file:
            file.write(fresh)
    return not check
