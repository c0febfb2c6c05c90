"""A state of the Compare tab as query parameters, and back: a link needs nothing that a server would have to remember.

A question of a source is named by its id; a text of one's own stands in the link itself, as long as it is short.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlencode

from qa_compare.errors import UserError

MAX_QUERY = 6_000  # characters of the whole query: what every browser, proxy and server lets through
PARAMETERS = ("source", "id", "passage", "question", "backbone", "variants")
_SEPARATOR = ","
_NOT_SENT = dict.fromkeys(range(0xD800, 0xE000), 0xFFFD)  # half a surrogate pair has no UTF-8


@dataclass(frozen=True, slots=True)
class Link:
    """What to open: question `id` of `source`, or a `passage`; `question` is one's own, also about a source's passage.

    An empty `backbone` or no `variants` stand for those that are shown by default.
    """

    source: str = ""
    id: str = ""
    passage: str = ""
    question: str = ""
    backbone: str = ""
    variants: tuple[str, ...] = ()


def write(link: Link) -> str:
    """The query, without its "?", in ASCII alone.

    Raises:
        UserError: there is no question in it, a variant's name cannot be listed, or it is too long.
    """
    if not (link.id and link.source) and not (link.passage and link.question):
        raise UserError("There is no question to link to yet.")
    if any(_SEPARATOR in name or not name for name in link.variants):
        raise UserError("A variant whose name holds a comma cannot be linked to.")
    values = {**{name: getattr(link, name) for name in PARAMETERS}, "variants": _SEPARATOR.join(link.variants)}
    query = urlencode({name: value.translate(_NOT_SENT) for name, value in values.items() if value}, safe=",")
    if len(query) > MAX_QUERY:
        raise UserError(
            f"The text is too long for a link: it takes {len(query):,} characters of an address, and {MAX_QUERY:,} fit."
        )
    return query


def read(parameters: Mapping[str, str]) -> Link | None:
    """What the query parameters of a page name; None where they name nothing. Others than ours are not looked at.

    Raises:
        UserError: they do not belong together.
    """
    found = {name: parameters[name] for name in PARAMETERS if name in parameters}
    if not found:
        return None
    if sum(map(len, found.values())) > MAX_QUERY:
        raise UserError("it is too long")
    if empty := [name for name, value in found.items() if not value]:
        raise UserError(f"its {empty[0]} is empty")
    if "id" in found and "passage" in found:
        raise UserError("it names a question and brings a passage of its own")
    if "id" in found and "source" not in found:
        raise UserError("it does not say which source its question is from")
    if "source" in found and "id" not in found:
        raise UserError("it does not say which question of the source to open")
    if "id" not in found and ("passage" in found) != ("question" in found):
        missing = "question" if "passage" in found else "passage"
        raise UserError(f"its {missing} is missing")
    variants = tuple(found.pop("variants", "").split(_SEPARATOR)) if "variants" in found else ()
    return Link(**found, variants=variants)
