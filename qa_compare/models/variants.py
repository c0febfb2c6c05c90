"""One column of the comparison: the base, or an adapter folder. Finding them and checking what they say of themselves.

A variant is a folder `adapters/<backbone>/<name>/` with a `variant.json`. Dropping one in adds a column. A folder that
cannot be used becomes a variant with a `problem`, and the others work.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from qa_compare.errors import UserError, quoted
from qa_compare.files import read_json
from qa_compare.models.backbones import Backbone

DEFAULTS = ("base", "lora", "prompt-tuning")
LABELS = {
    "base": "Base",
    "lora": "LoRA",
    "prompt-tuning": "Prompt tuning",
    "prefix-tuning": "Prefix tuning",
    "ia3": "IA³",
    "head": "Head only",
    "full": "Full fine-tuning",
}
VARIANT_FILE = "variant.json"
ADAPTER_FILE, CONFIG_FILE, HEAD_FILE = "adapter_model.safetensors", "adapter_config.json", "head.safetensors"
# where virtual tokens sit: a prompt's at the end of the position table; a prefix's, mere keys and values, nowhere; or,
# as PEFT has both, before the passage, which moves it
END_OF_TABLE, NO_POSITIONS, BEFORE_PASSAGE = "end-of-table", "none", "before-passage"


@dataclass(frozen=True, slots=True)
class Variant:
    """What `variant.json` says. `folder` is None for a base that is the checkpoint as it comes; `shipped` is False for
    a run whose record is kept without its weights; `base_fingerprint` says which base it was trained on
    (`loading.fingerprint`), None where nobody recorded it; `problem` is a sentence where the folder cannot be used,
    `note` one that belongs beside its answers."""

    name: str
    label: str
    method: str
    backbone: str
    folder: Path | None = None
    shipped: bool = True
    virtual_positions: str | None = None
    temperature: float = 1.0
    sha256: dict[str, str] = field(default_factory=dict)
    base_fingerprint: str | None = None
    problem: str | None = None
    note: str | None = None

    @property
    def key(self) -> str:
        """Another one wherever what the folder says, its weights' hashes too, or what is wrong with it differs."""
        return repr((self.name, self.folder, self.problem, sorted(describe(self, merged=False).items())))


def describe(variant: Variant, *, merged: bool) -> dict[str, Any]:
    """The object that `variant.json` holds."""
    return {
        "label": variant.label,
        "method": variant.method,
        "backbone": variant.backbone,
        "weights": "shipped" if variant.shipped else "not shipped",
        "merged_at_load": merged,
        "virtual_positions": variant.virtual_positions,
        "temperature": variant.temperature,
        "base_fingerprint": variant.base_fingerprint,
        "sha256": variant.sha256,
    }


def discover(backbone: Backbone, adapters: Path) -> tuple[Variant, ...]:
    """All variants of a backbone: the base, LoRA and prompt tuning first, then the other folders by name."""
    root = adapters / backbone.name
    folders = sorted(path for path in root.iterdir() if _is_variant(path)) if root.is_dir() else []
    found = {path.name: read(path, backbone) for path in folders}
    if "base" not in found:
        found["base"] = _bare_base(backbone)
    order = {name: place for place, name in enumerate(DEFAULTS)}
    return tuple(sorted(found.values(), key=lambda variant: (order.get(variant.name, len(order)), variant.name)))


def check_root(adapters: Path) -> None:
    """Refuse a folder of one adapter, or of one backbone's: nothing would be found in it, and only the base be shown.

    Raises:
        UserError: with the folder that was probably meant.
    """
    resolved = adapters.resolve()
    for what, pattern, meant in (
        ("one adapter", "", resolved.parent.parent),
        ("one backbone's adapters", "*/", resolved.parent),
    ):
        if any(next(adapters.glob(f"{pattern}{name}"), None) for name in (VARIANT_FILE, CONFIG_FILE)):
            raise UserError(
                f"--adapters {adapters} is the folder of {what}: name the one that holds BACKBONE/VARIANT folders, "
                f"for example {meant}"
            )


def signature(backbone: Backbone, adapters: Path) -> tuple[Any, ...]:
    """Another one once a variant's folder has come, gone, or been written anew. Reads no file."""
    root = adapters / backbone.name
    try:
        return tuple(
            sorted((path.name, *_written(path / VARIANT_FILE)) for path in root.iterdir() if _is_variant(path))
        )
    except OSError:
        return ()


def _written(path: Path) -> tuple[int, int, int]:
    """When a file was written, its size and its place on the disk; zeros where it is not there."""
    try:
        status = path.stat()
    except OSError:
        return 0, 0, 0
    return status.st_mtime_ns, status.st_size, status.st_ino


def _is_variant(path: Path) -> bool:
    return path.is_dir() and not path.name.startswith((".", "_"))


def _bare_base(backbone: Backbone) -> Variant:
    """The base where there is no folder for one: the checkpoint itself. Whether its head is trained is not known here:
    `Models.variants` looks, and `load_model` refuses."""
    problem = None
    if backbone.merges:
        problem = f"the adapter that makes {backbone.name} from its encoder is missing: adapters/{backbone.name}/base"
    return Variant("base", "Base", "base", backbone.name, problem=problem)


def read(folder: Path, backbone: Backbone) -> Variant:
    """The variant in `folder`; whatever is wrong with it becomes its `problem`."""
    label = LABELS.get(folder.name, folder.name)
    try:
        return _read(folder, backbone)
    except UserError as error:
        return Variant(folder.name, label, folder.name, backbone.name, folder, problem=str(error))


def _read(folder: Path, backbone: Backbone) -> Variant:
    data = read_json(inside(folder, VARIANT_FILE))
    if not isinstance(data, dict):
        raise UserError(f"{folder.name}/variant.json is not an object")
    kinds: dict[str, Any] = {
        "label": str,
        "method": str,
        "backbone": str,
        "weights": str,
        "temperature": (int, float),
        "sha256": dict,
    }
    for key, kind in kinds.items():
        if not isinstance(data.get(key), kind):
            raise UserError(f'{folder.name}/variant.json: "{key}" is missing or of the wrong type')
    for name, digest in data["sha256"].items():
        if Path(name).name != name or not isinstance(digest, str):
            raise UserError(f'{folder.name}/variant.json: "sha256" names no plain file of its folder')
    if data["backbone"] != backbone.name:
        raise UserError(f"{folder.name} was made for the backbone {data['backbone']}, not for {backbone.name}")
    if data.get("virtual_positions") not in (None, END_OF_TABLE, NO_POSITIONS, BEFORE_PASSAGE):
        raise UserError(f'{folder.name}/variant.json: unknown "virtual_positions" {quoted(data["virtual_positions"])}')
    if not isinstance(data.get("base_fingerprint"), str | None):
        raise UserError(f'{folder.name}/variant.json: "base_fingerprint" is of the wrong type')
    temperature = float(data["temperature"])
    if not (math.isfinite(temperature) and temperature > 0):
        raise UserError(f'{folder.name}/variant.json: "temperature" must be a positive number')
    return Variant(
        name=folder.name,
        label=data["label"],
        method=data["method"],
        backbone=data["backbone"],
        folder=folder,
        shipped=data["weights"] == "shipped",
        virtual_positions=data.get("virtual_positions"),
        temperature=temperature,
        sha256=data["sha256"],
        base_fingerprint=data.get("base_fingerprint"),
        note=_further_adapters(folder),
    )


def _further_adapters(folder: Path) -> str | None:
    """PEFT saves the second adapter of a model in a folder inside the first one's. It is no column."""
    names = sorted(path.parent.name for path in folder.glob(f"*/{CONFIG_FILE}"))
    if not names:
        return None
    return (
        f"{folder.name} holds further adapters that are not shown ({', '.join(names)}): move each beside {folder.name}."
    )


def inside(folder: Path, name: str) -> Path:
    """`folder/name`, if it is a plain file of that folder: a link that leads out of it is not followed."""
    path = folder / name
    if not path.is_file():
        raise UserError(f"{folder.name}/{name} is missing")
    if not path.resolve().is_relative_to(folder.resolve()):
        raise UserError(f"{folder.name}/{name} is a link that leads out of its folder")
    return path
