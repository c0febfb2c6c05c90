"""A tiny service to run batches on. A test module takes its fixtures from here: `rivers, service = …`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from qa_compare.data.examples import to_squad
from qa_compare.files import write_json
from qa_compare.inference.engine import Engine
from qa_compare.workbench.service import Service
from tests import measured, tiny
from tests.conftest import HOST, free_port

NAME = "river-bert"
NAMES = ["base", "lora", "prompt-tuning"]
BAD = "passage,question,answers\nRome is old.,What is old?,Rome\n,Who?,\nRome is old.,,Rome\n"
QUESTION = {"passage": "The river rises in the north.", "question": "Where rises the river?"}


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Service:
    folder = tmp_path_factory.mktemp("batch")
    measured.backbone(folder)
    for seed, name in enumerate(NAMES):
        measured.variant(folder / "adapters", name, seed=seed)
    engine = Engine(str(folder / NAME), adapters=folder / "adapters", precision="fp32")
    assert engine.located
    nowhere = Engine("bert-tiny", adapters=folder / "adapters", precision="fp32")
    return Service({NAME: engine, "bert-tiny": nowhere}, NAME)


@pytest.fixture
def rivers(tmp_path: Path) -> str:
    write_json(tmp_path / "rivers.json", to_squad(tiny.examples(12)))
    return str(tmp_path / "rivers.json")


def written(folder: Path, name: str, text: str) -> str:
    (folder / name).write_text(text, encoding="utf-8")
    return str(folder / name)


@contextmanager
def serving(service: Service, uploads: Path) -> Iterator[str]:
    """The page's address, while the block runs; what is uploaded lies in that folder."""
    from qa_compare.server.serving import Settings, serve

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRADIO_TEMP_DIR", str(uploads))
        page = serve(service, host=HOST, port=free_port(), chosen=Settings(), wait=False)
        yield page.local_url
        page.close(verbose=False)


@pytest.fixture(scope="module")
def served(service: Service, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with serving(service, tmp_path_factory.mktemp("gradio")) as address:
        yield address
