"""One evaluation in several processes, on one machine or many: `accelerate launch -m qa_compare evaluate …`.

Without a launcher there is one process, and `accelerate` is not asked.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

Item = TypeVar("Item")

# A share can take hours longer on a slow machine than on a fast one; the library would give up after ten minutes.
_PATIENCE = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Team:
    """This process among `count`, numbered from 0; number 0 prints and writes. `device` is None for one alone."""

    index: int = 0
    count: int = 1
    device: str | None = None
    _state: Any = None

    @property
    def main(self) -> bool:
        """Whether this is the process that prints and writes."""
        return self.index == 0

    def gather(self, items: list[Item]) -> list[Item]:
        """All processes' items, those of process 0 first; every process must call it, and waits for the others."""
        if self.count == 1:
            return items
        from accelerate.utils import gather_object

        found: list[Item] = gather_object(items)
        return found

    def leave(self) -> None:
        """Wait for the others and end what connects them."""
        if self._state is not None:
            self._state.wait_for_everyone()
            self._state.destroy_process_group()


def team() -> Team:
    """The processes that a launcher started, this one among them."""
    from accelerate.utils.environment import get_cpu_distributed_information  # the launchers of all kinds

    if get_cpu_distributed_information().world_size == 1:
        return Team()
    import torch
    from accelerate import PartialState

    state = PartialState(cpu=not torch.cuda.is_available(), timeout=_PATIENCE)
    return Team(state.process_index, state.num_processes, str(state.device), state)
