"""What a checklist is made of."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Item:
    """One item of a checklist.

    Parameters
    ----------
    text
        What it asks for, in short words of our own.
    rule
        Name of the rule that answers it.
    group
        Heading it stands under where it was published; empty when it stands under none.
    least, most
        What it counts for in a score: a share of 1 (METRICS) or points (RQS); both 0 where nothing is counted.
    """

    text: str
    rule: str
    group: str = ""
    least: float = 0.0
    most: float = 0.0


@dataclass(frozen=True)
class Checklist:
    """A checklist as it was published.

    Parameters
    ----------
    name, what
        Its short name, and what it is about.
    source
        The paper.
    checked
        What this wording, order and counting were held against, and what was not.
    items
        In the published order.
    conditions
        Questions that decide whether items apply; not counted.
    counts
        What ``most`` is called; empty where nothing is counted.
    """

    name: str
    what: str
    source: str
    checked: str
    items: tuple[Item, ...]
    conditions: tuple[Item, ...] = ()
    counts: str = ""

    @property
    def most(self) -> float:
        """The highest score there is."""
        return sum(item.most for item in self.items)
