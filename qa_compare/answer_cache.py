"""What was found for the last questions, kept so that the same again costs a look-up: the one place that keeps it."""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

Value = TypeVar("Value")
Key = tuple[Hashable, ...]


class AnswerCache(Generic[Value]):
    """At most `size` values, the one longest unused forgotten first. Threads may share it."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._values: OrderedDict[Key, Value] = OrderedDict()
        self._making: dict[Key, threading.Lock] = {}
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._values)

    def get(self, key: Key) -> Value | None:
        """The value that was put under the key, which is now the one used last; None where there is none."""
        with self._lock:
            if key in self._values:
                self._values.move_to_end(key)
            return self._values.get(key)

    def put(self, key: Key, value: Value) -> None:
        """Keep a value, and forget the one longest unused where it is one too many."""
        with self._lock:
            self._values[key] = value
            self._values.move_to_end(key)
            while len(self._values) > self.size:
                self._values.popitem(last=False)

    def made(self, key: Key, make: Callable[[], Value]) -> Value:
        """The value under the key, which `make` gives where there is none.

        Of threads that ask for one value at the same time one makes it, and the others wait; nobody waits for another
        value. Raises what `make` raises, and then the next who asks makes it.
        """
        with self._lock:
            making = self._making.setdefault(key, threading.Lock())
        with making:
            try:
                value = self.get(key)
                if value is None:
                    value = make()
                    self.put(key, value)
                return value
            finally:
                with self._lock:
                    self._making.pop(key, None)

    def drop(self, key: Key) -> None:
        """Forget the value under the key, where there is one."""
        with self._lock:
            self._values.pop(key, None)


def digest(*texts: str) -> bytes:
    """A hash of texts in their order: a passage of 200,000 characters is not kept for being part of a key."""
    whole = hashlib.sha256()
    for text in texts:
        data = text.encode("utf-8", "surrogatepass")
        whole.update(len(data).to_bytes(8))
        whole.update(data)
    return whole.digest()
