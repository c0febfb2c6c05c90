"""Checkpoints that were written whole: sealed with their files' hashes, and removed where the disk was full."""

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

MANIFEST = "manifest.json"
_TOO_LITTLE = 2**20  # bytes


class Sealed(TrainerCallback):
    """Writes the hashes of a checkpoint's files into it, last, so that a half-written or foreign one is told apart."""

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Seal the checkpoint that Trainer has just written. Raises UserError where there is no room."""
        PartialState().wait_for_everyone()  # every process writes the state of its random numbers
        if state.is_world_process_zero:
            folder = Path(str(args.output_dir)) / f"checkpoint-{state.global_step}"
            with whole(folder):
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
