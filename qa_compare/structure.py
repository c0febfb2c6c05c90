"""JSON's objects -> frozen dataclasses and typed dictionaries, checked on the way; a fault is told with its place."""

from __future__ import annotations

import math
from dataclasses import MISSING, fields, is_dataclass
from types import NoneType, UnionType
from typing import Any, TypeVar, get_args, get_origin, get_type_hints, is_typeddict

from qa_compare.errors import UserError

Kind = TypeVar("Kind")


def structured(kind: type[Kind], value: Any, place: str) -> Kind:
    """`value`, as `json.loads` gives it, as a `kind`. `place` begins every message, such as `lora/metrics.json`.

    Understands dataclasses and TypedDicts (keys that they do not know are passed over), `tuple[X, ...]` from lists,
    `dict[str, X]`, `X | None`, and JSON's own kinds.

    Raises:
        UserError: something is missing, of another kind, or a number that is not finite: `place.key is …`.
    """
    found: Kind = _convert(kind, value, place)
    return found


def _convert(kind: Any, value: Any, place: str) -> Any:
    if kind is Any:
        return value
    origin, inner = get_origin(kind), get_args(kind)
    if origin is UnionType:
        return None if value is None else _convert(next(one for one in inner if one is not NoneType), value, place)
    if origin is tuple:
        rows = _checked(list, value, place, "a list")
        return tuple(_convert(inner[0], row, f"{place}[{index}]") for index, row in enumerate(rows))
    if origin is dict:
        items = _checked(dict, value, place, "an object")
        return {key: _convert(inner[1], one, f"{place}.{key}") for key, one in items.items()}
    if is_dataclass(kind) or is_typeddict(kind):
        return kind(**_members(kind, _checked(dict, value, place, "an object"), place))
    return _plain(kind, value, place)


def _members(kind: Any, value: dict[str, Any], place: str) -> dict[str, Any]:
    own = fields(kind) if is_dataclass(kind) else ()
    optional = {one.name for one in own if one.default is not MISSING or one.default_factory is not MISSING}
    members = {}
    for name, hint in get_type_hints(kind).items():
        if name in value:
            members[name] = _convert(hint, value[name], f"{place}: {name}" if ": " not in place else f"{place}.{name}")
        elif name not in optional:
            raise UserError(f'{place} has no "{name}"')
    return members


def _plain(kind: type, value: Any, place: str) -> Any:
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value) if abs(value) < 2**1023 else math.inf
    words = {str: "a text", int: "a whole number", float: "a number", bool: "true or false"}
    value = _checked(kind, value, place, words.get(kind, kind.__name__))
    if isinstance(value, float) and not math.isfinite(value):
        raise UserError(f"{place} is not a finite number")
    return value


def _checked(kind: type, value: Any, place: str, words: str) -> Any:
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is int):
        raise UserError(f"{place} is not {words}")
    return value
