"""The precision follows what was measured, never a processor's promise."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

import app
from qa_compare.__main__ import main
from qa_compare.cli import commands, measuring
from qa_compare.data.examples import to_squad
from qa_compare.files import write_json
from qa_compare.inference.engine import Engine
from qa_compare.models import registry
from qa_compare.models.registry import IN_BF16, fastest_precision
from qa_compare.page import batch_view, errors_tab
from qa_compare.workbench import batch
from qa_compare.workbench.answers import Inspector, Wanted
from qa_compare.workbench.service import UPLOAD, Service
from tests import measured, tiny


@pytest.fixture(autouse=True)
def forgotten() -> Iterator[None]:
    fastest_precision.cache_clear()
    yield
    fastest_precision.cache_clear()


def pretend(monkeypatch: pytest.MonkeyPatch, *, instruction: bool, fp32: float, bf16: float) -> list[torch.dtype]:
    """A processor with or without the instruction whose products take so many seconds; the list is what was timed."""
    timed: list[torch.dtype] = []

    def seconds(dtype: torch.dtype) -> float:
        timed.append(dtype)
        return bf16 if dtype == torch.bfloat16 else fp32

    monkeypatch.setattr("torch.cpu._is_avx512_bf16_supported", lambda: instruction)
    monkeypatch.setattr(registry, "_seconds", seconds)
    return timed


@pytest.mark.parametrize(
    ("device", "instruction", "fp32", "bf16", "chosen"),
    [
        ("cpu", True, 2.0, 1.0, "bf16"),
        ("cpu", True, 1.2, 1.0, "bf16"),
        ("cpu", True, 1.1, 1.0, "fp32"),  # autocast's conversions would eat so small a gain
        ("cpu", True, 1.0, 2.0, "fp32"),
        ("cpu", False, 2.0, 1.0, "fp32"),
        ("cuda", True, 2.0, 1.0, "fp32"),
    ],
)
def test_bf16_is_chosen_only_where_it_was_measured_to_be_clearly_faster(
    monkeypatch: pytest.MonkeyPatch, device: str, instruction: bool, fp32: float, bf16: float, chosen: str
) -> None:
    timed = pretend(monkeypatch, instruction=instruction, fp32=fp32, bf16=bf16)
    assert fastest_precision(device) == chosen
    assert bool(timed) == (instruction and device == "cpu")


def test_it_is_measured_once(monkeypatch: pytest.MonkeyPatch) -> None:
    timed = pretend(monkeypatch, instruction=True, fp32=2.0, bf16=1.0)
    assert [fastest_precision(), fastest_precision()] == ["bf16", "bf16"]
    assert len(timed) == 2


def test_this_processor_gets_what_it_was_measured_to_do_faster(monkeypatch: pytest.MonkeyPatch) -> None:
    took: dict[torch.dtype, float] = {}
    measure = registry._seconds

    def seconds(dtype: torch.dtype) -> float:
        took[dtype] = measure(dtype)
        return took[dtype]

    monkeypatch.setattr(registry, "_seconds", seconds)
    chosen = fastest_precision()
    assert all(0 < one < 10 for one in took.values())
    assert set(took) == ({torch.float32, torch.bfloat16} if torch.cpu._is_avx512_bf16_supported() else set())
    assert chosen == ("bf16" if took and took[torch.float32] > 1.15 * took[torch.bfloat16] else "fp32")


def test_of_several_products_in_that_precision_the_fastest_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    multiplied: list[torch.dtype] = []
    clock = [0.0]

    def product(left: torch.Tensor, right: torch.Tensor) -> None:
        multiplied.append(left.dtype)
        assert right.dtype == left.dtype
        clock[0] += 2.0 if len(multiplied) == 2 else 5.0

    monkeypatch.setattr("torch.mm", product)
    monkeypatch.setattr(registry, "time", SimpleNamespace(perf_counter=lambda: clock[0]))
    assert registry._seconds(torch.bfloat16) == 2.0
    assert set(multiplied) == {torch.bfloat16}
    assert len(multiplied) > 2


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a backbone, its base, and some questions."""
    folder = tmp_path_factory.mktemp("precision")
    measured.backbone(folder)
    measured.variant(folder / "adapters", "base", seed=0)
    write_json(folder / "questions.json", to_squad(tiny.examples(4)))
    return folder


def engine_of(house: Path, **options: str) -> Engine:
    engine = Engine(str(house / "river-bert"), adapters=house / "adapters", **options)
    assert engine.located
    return engine


def test_page_and_commands_compute_in_fp32_on_whatever_processor_unless_asked(
    monkeypatch: pytest.MonkeyPatch, house: Path
) -> None:
    pretend(monkeypatch, instruction=True, fp32=2.0, bf16=1.0)
    assert fastest_precision() == "bf16"
    assert engine_of(house).precision == "fp32"
    assert app.parser().parse_args([]).precision == "fp32"
    for command in (commands.ask, commands.predict, measuring.evaluate, measuring.speed):
        [precision] = [option.default for option in command.params if option.name == "precision"]
        assert precision == "fp32"
    assert engine_of(house, precision="auto").precision == "bf16"
    assert app.parser().parse_args(["--precision", "auto"]).precision == "auto"


@pytest.mark.parametrize("chosen", ["fp32", "bf16"])
def test_only_answers_in_bfloat16_say_so_wherever_they_stand(house: Path, chosen: str) -> None:
    engine = engine_of(house, precision=chosen)
    said = (IN_BF16,) if chosen == "bf16" else ()
    assert engine.compare("the river flows", "where").warnings == said
    inspector = Inspector(Service({engine.backbone: engine}, engine.backbone))
    wanted = Wanted(engine.backbone, UPLOAD, str(house / "questions.json"))
    for _progress in inspector.compute(wanted, lambda: False):
        pass
    view = inspector.view(wanted)
    assert view.warnings == said
    assert ("bfloat16" in errors_tab._state(view)) is bool(said)
    answers = batch.Answers(engine, tiny.examples(4))
    for _progress in answers.find(["base"], lambda: False):
        pass
    result = answers.result(["base"])
    assert result.warnings == said
    assert ("bfloat16" in " ".join(batch_view._notes(result))) is bool(said)


def test_nothing_is_saved_beside_a_variant_in_another_precision(
    house: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = ["--backbone", str(house / "river-bert"), "--adapters", str(house / "adapters"), "--runs", str(tmp_path)]
    command = ["evaluate", str(house / "questions.json"), "--variant", "base", *place, "--no-bertscore", "--save"]
    assert main([*command, "--precision", "bf16"]) == 2
    assert "--save keeps what was computed in fp32" in capsys.readouterr().err
    assert not list((house / "adapters").rglob("metrics.json"))
