"""The repository as a Hugging Face Space: what configures it, and that it starts from its tracked files alone."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from gradio_client import Client
from huggingface_hub import RepoCard, SpaceCardData
from packaging.requirements import Requirement

from tests.conftest import free_port
from tests.places import ROOT

pytestmark = pytest.mark.slow

COLOURS = set("red yellow green blue indigo purple pink gray".split())
# what a Space sets, and the hub, which it need not reach
SPACE = {"SYSTEM": "spaces", "SPACE_ID": "someone/qa-compare", "GRADIO_SERVER_NAME": "127.0.0.1", "HF_HUB_OFFLINE": "1"}


@pytest.fixture(scope="module")
def settings() -> dict[str, Any]:
    card = RepoCard.load(ROOT / "README.md")
    assert isinstance(SpaceCardData(**card.data.to_dict()), SpaceCardData)
    return card.data.to_dict()


def test_the_settings_are_ones_that_the_hub_accepts(settings):
    assert settings["sdk"] == "gradio"
    assert (ROOT / settings["app_file"]).is_file()
    assert settings["license"] == "apache-2.0"
    assert {settings["colorFrom"], settings["colorTo"]} <= COLOURS
    assert len(settings["short_description"]) <= 60
    assert re.fullmatch(r"3\.\d+", settings["python_version"])
    assert settings["suggested_hardware"] == "cpu-basic"
    assert len(settings["emoji"].encode()) >= 3
    for name in (
        *settings["models"],
        *settings["datasets"],
        *(line.split()[0] for line in settings["preload_from_hub"]),
    ):
        assert re.fullmatch(r"[\w.-]+/[\w.-]+", name)
    assert "thumbnail" not in settings or settings["thumbnail"].startswith("https://")


def test_the_space_installs_a_gradio_that_the_requirements_allow(settings):
    lines = (ROOT / "requirements.txt").read_text().splitlines()
    wanted = {made.name: made for line in lines if line.strip()[:1].isalpha() for made in [Requirement(line)]}
    assert wanted["gradio"].specifier.contains(settings["sdk_version"])
    project = (ROOT / "pyproject.toml").read_text()
    assert f'python_version = "{settings["python_version"]}"' in project


@pytest.fixture(scope="module")
def export(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tracked files alone, in a folder that cannot be written."""
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        pytest.skip("this is no git checkout")
    folder = tmp_path_factory.mktemp("export") / "space"
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():  # else it is deleted, and not yet committed so
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    return folder


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A new environment with the requirements installed where QA_COMPARE_TEST_INSTALL=1 asks for it."""
    if os.environ.get("QA_COMPARE_TEST_INSTALL") != "1":
        return Path(sys.executable)
    folder = tmp_path_factory.mktemp("environment")
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    made = folder / "bin" / "python"
    install = [made, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r", ROOT / "requirements.txt"]
    subprocess.run(install, check=True)
    return made


@pytest.fixture(params=["false", "true"], ids=["without SSR", "with SSR asked for"])
def served(request: pytest.FixtureRequest, export: Path, python: Path, tmp_path: Path) -> Iterator[str]:
    """`app.py` with a Space's variables, a home that is elsewhere, and a temporary folder of its own."""
    port = free_port()
    own = {"GRADIO_SERVER_PORT": str(port), "GRADIO_SSR_MODE": request.param, "HOME": str(tmp_path / "home")}
    known = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "GRADIO_", "PYTHONPATH"))}
    environment = known | SPACE | own | {"TMPDIR": str(tmp_path), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [python, "app.py", "--host", "127.0.0.1"]
    log = (tmp_path / "log").open("w")
    process = subprocess.Popen(command, cwd=export, env=environment, stdout=log, stderr=subprocess.STDOUT)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        log.close()


@pytest.mark.timeout(600)
def test_it_starts_from_the_tracked_files_and_answers_and_writes_nothing_beside_them(served, export):
    before = {path: path.stat().st_mtime_ns for path in export.rglob("*")}
    client = _connected(served)
    found = client.predict("The mill stands by the weir.", "Where does the mill stand?", api_name="/compare")
    assert {column["variant"] for column in found["variants"]} >= {"base"}
    assert all(column["answer"] or column["problem"] for column in found["variants"])
    assert {path: path.stat().st_mtime_ns for path in export.rglob("*")} == before


def _connected(address: str) -> Client:
    deadline = time.monotonic() + 300
    while True:
        try:
            return Client(address, verbose=False)
        except Exception:  # it is not there yet, and httpx has many ways to say so
            if time.monotonic() > deadline:
                raise
            time.sleep(0.5)
