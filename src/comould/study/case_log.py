"""A case's log: plain lines with times, without paths or names of files."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

LOG = "log.txt"


class CaseLog:
    """Appends lines to ``log.txt``.

    Parameters
    ----------
    folder
        The case's folder of results.
    roles
        What each file of the case is for: its role stands in the log where a message names the file.
    """

    def __init__(self, folder: Path, roles: dict[str, Path]) -> None:
        self.path = folder / LOG
        self._words = _words(roles.items(), folder)

    def say(self, text: str) -> None:
        """Write one line, with the time (UTC)."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        line = f"{datetime.now(UTC).isoformat(timespec='seconds')} {self.scrubbed(text)}\n"
        with self.path.open("a", encoding="utf-8") as stream:
            stream.write(line)

    def scrubbed(self, text: str) -> str:
        """Put roles in the place of files."""
        for found, word in self._words:
            text = text.replace(found, word)
        return " ".join(text.split())


def _words(roles: Iterable[tuple[str, Path]], folder: Path) -> list[tuple[str, str]]:
    """List what must not be said and what is said instead, the longest first."""
    words: dict[str, str] = {}
    for role, path in roles:
        said = f"<{role}>"
        resolved = path.resolve()
        names = (str(resolved), str(path.absolute()), str(path), path.name)
        words |= {name: said for name in names if name not in words and len(name) > 3}
        words |= {f"{parent}/": "" for parent in (resolved.parent, path.absolute().parent) if len(str(parent)) > 1}
    words |= {f"{folder.resolve()}/": "", f"{folder.absolute()}/": ""}
    return sorted(words.items(), key=lambda pair: -len(pair[0]))
