"""The exception of the package."""

from __future__ import annotations

from typing import Any


class LoraLoupeError(Exception):
    """A file that cannot be read, or an edit that is not possible.

    Its text is the sentence that the command line prints.
    """

    #: Id of the sentence, for instance ``edit.no_adapter``; docs/report.md lists them.
    id: str
    #: The numbers and names in it.
    values: dict[str, Any]

    def __init__(self, text: str, id: str, values: dict[str, Any]) -> None:
        super().__init__(text)
        self.id = id
        self.values = values
