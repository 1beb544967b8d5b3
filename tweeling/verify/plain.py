"""Text from a stranger, made fit to be shown."""

from __future__ import annotations


def plain(text: str) -> str:
    """Write every character that is not printed (controls, bidi marks, line ends) as its escape, and nothing else."""
    return text if text.isprintable() else "".join(char if char.isprintable() else _escape(ord(char)) for char in text)


def _escape(code: int) -> str:
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
