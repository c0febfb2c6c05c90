"""Checkpoints that were written whole: sealed with their files' hashes, and removed where the disk was full.

Each says with which settings and data it was made, so that no run goes on from it with others.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from accelerate import PartialState
from safetensors import SafetensorError
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from qa_compare.errors import UserError, reason
from qa_compare.files import read_json, sha256, write_json

MANIFEST, SETTINGS = "manifest.json", "settings.json"
_TOO_LITTLE = 2**20  # bytes


class Sealed(TrainerCallback):
    """Writes the run's settings into a checkpoint, and last the hashes of its files, so that a half-written or foreign
    one is told apart."""

    def __init__(self, settings: dict[str, Any]) -> None:
        self.settings = settings

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Seal the checkpoint that Trainer has just written. Raises UserError where there is no room."""
        PartialState().wait_for_everyone()  # every process writes the state of its random numbers
        if state.is_world_process_zero:
            folder = Path(str(args.output_dir)) / f"checkpoint-{state.global_step}"
            with whole(folder):
                write_json(folder / SETTINGS, self.settings)
                files = [path for path in sorted(folder.iterdir()) if path.is_file()]
                write_json(folder / MANIFEST, {path.name: sha256(path) for path in files})


@contextmanager
def whole(folder: Path) -> Iterator[None]:
    """Removes what the block leaves in `folder` when it fails.

    Raises:
        UserError: the block could not write; a full disk is an OSError, or what torch and safetensors make of it.
    """
    try:
        yield
    except (UserError, OSError, RuntimeError, SafetensorError) as error:
        why = reason(error)
        if "No space left" in why or shutil.disk_usage(folder.parent).free < _TOO_LITTLE:
            why = "there is no space left on its disk"  # torch has other words for it
        shutil.rmtree(folder, ignore_errors=True)
        raise UserError(
            f"{folder} cannot be written ({why}): make room there and run the same command with --resume; "
            "checkpoints written before are kept"
        ) from error


def last_checkpoint(folder: Path) -> Path | None:
    """The newest checkpoint in `folder` that was written whole by this project; others are passed over."""
    found = sorted(folder.glob("checkpoint-*"), key=lambda path: -int(path.name.rpartition("-")[2]))
    return next((path for path in found if _sealed(path)), None)


def settings_of(checkpoint: Path) -> dict[str, Any]:
    """The settings that it was made with. Raises UserError for a checkpoint from before they were recorded."""
    if not (checkpoint / SETTINGS).is_file():
        raise UserError(
            f"--resume: {checkpoint} does not say with which settings it was made: leave --resume out to begin anew"
        )
    found: dict[str, Any] = read_json(checkpoint / SETTINGS)
    return found


def refuse_others(checkpoint: Path, recorded: dict[str, Any], now: dict[str, Any]) -> None:
    """Raises UserError where a run would go on with other settings than it began with; it names all that differ."""
    if found := differences(recorded, now):
        raise UserError(
            f"--resume: {checkpoint} was made with other settings or data: {'; '.join(found)}. Give the same again, or "
            "leave --resume out to begin anew"
        )


def differences(recorded: dict[str, Any], now: dict[str, Any], place: str = "") -> list[str]:
    """What differs between two objects of settings, each in words: its name, what was recorded and what is given now.

    Of files, `{"name": …, "sha256": …}`, the content counts; of what is only a hash, the name is told.
    """
    found = []
    for key in dict.fromkeys([*recorded, *now]):
        before, after = recorded.get(key), now.get(key)
        name = f"{place}{key}"
        if isinstance(before, dict) and isinstance(after, dict) and _is_settings(before) and _is_settings(after):
            found += differences(before, after, f"{name}: ")
        elif _content(before) != _content(after):
            shown = _shown(before), _shown(after)
            words = f"{shown[0]}, now {shown[1]}" if shown[0] != shown[1] else "of other content"
            found.append(f"{name} ({words})")
    return found


def _is_settings(value: dict[str, Any]) -> bool:
    return not _is_hashes(value) and not _is_file(value)


def _is_file(value: Any) -> bool:
    return isinstance(value, dict) and value.keys() == {"name", "sha256"}


def _is_hashes(value: Any) -> bool:
    return isinstance(value, dict) and all(isinstance(one, str) and len(one) == 64 for one in value.values())


def _content(value: Any) -> Any:
    if isinstance(value, list):
        return [_content(one) for one in value]
    return value["sha256"] if _is_file(value) else value


def _shown(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(_shown, value)) or "none"
    if _is_hashes(value):
        return ", ".join(value) or "none"
    if _is_file(value):
        return str(value["name"])
    return "none" if value is None else str(value)


def evaluations_in_vain(checkpoint: Path | None) -> int:
    """How many evaluations in a row had no lower loss by then. Trainer would restore that with the old --patience."""
    if checkpoint is None:
        return 0
    kept = read_json(checkpoint / "trainer_state.json")["stateful_callbacks"]["EarlyStoppingCallback"]
    count: int = kept["attributes"]["early_stopping_patience_counter"]
    return count


def _sealed(folder: Path) -> bool:
    try:
        manifest = read_json(folder / MANIFEST)
    except UserError:
        return False
    files = {path.name for path in folder.iterdir() if path.name != MANIFEST}
    return files == set(manifest) and all(sha256(folder / name) == digest for name, digest in manifest.items())
