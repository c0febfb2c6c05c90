"""The commands in the documents are run as they are written, and what the documents point at exists.

A block after `<!-- long -->` takes minutes, a network or a free port: of its commands only the modules, the options and
the targets of make are looked up.
"""

from __future__ import annotations

import importlib
import json
import re
import shlex
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

import app
from qa_compare.__main__ import main
from qa_compare.data.examples import to_squad
from qa_compare.data.sources import sample
from qa_compare.models import backbones
from qa_compare.models.backbones import ADAPTERS
from tests.places import ROOT
from train import base, loop

pytestmark = pytest.mark.slow

DOCUMENTS = sorted(
    [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("train/*.md"), *ROOT.glob("benchmarks/*.md")]
)
BLOCK = re.compile(r"(<!-- long -->\n)?```sh\n(.*?)```", re.DOTALL)
CSV = re.compile(r"```csv\n(.*?)```", re.DOTALL)
LINK = re.compile(r"\]\(([^)#:]+)(?:#[^)]*)?\)")
PLACE = re.compile(r"\]\(([^)#:]*)#([^)]+)\)")
HEADING = re.compile(r"^#+ (.*)$", re.MULTILINE)
NAMED = re.compile(r"`((?:qa_compare|train|tests|docs|benchmarks)/[\w./-]+)`")
needs_adapters = pytest.mark.skipif(
    not (ADAPTERS / "minilm-l6-qa" / "prompt-tuning" / "variant.json").is_file(), reason="no adapters in this checkout"
)


@dataclass(frozen=True)
class Command:
    document: Path
    words: tuple[str, ...]
    long: bool

    def __str__(self) -> str:
        return f"{self.document.relative_to(ROOT)}: {' '.join(self.words)}"


def commands() -> list[Command]:
    found = []
    for document in DOCUMENTS:
        for long, block in BLOCK.findall(document.read_text(encoding="utf-8")):
            lines = [line.partition("  #")[0] for line in block.replace("\\\n", " ").splitlines()]
            parts = [shlex.split(part, comments=True) for line in lines for part in re.split(r"&&|\|", line)]
            found += [Command(document, tuple(words), bool(long)) for words in parts if words]
    return found


COMMANDS = commands()
# one that stands in two documents is run once
SHORT = list({command.words: command for command in COMMANDS if not command.long}.values())
LONG = [command for command in COMMANDS if command.long]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files that the documents speak of, made up from the built-in questions, and a copy of the adapters."""
    made = tmp_path_factory.mktemp("docs")
    examples = sample()
    for name in ("questions.json", "dev-v1.1.json", "held-out.json"):
        (made / name).write_text(json.dumps(to_squad(examples[:8])), encoding="utf-8")
    (made / "article.txt").write_text(examples[0].passage, encoding="utf-8")
    [table] = CSV.findall((ROOT / "docs" / "your-own.md").read_text(encoding="utf-8"))
    (made / "questions.csv").write_text(table, encoding="utf-8")
    shutil.copytree(ADAPTERS, made / "adapters")
    for new, old in (("my-lora", "lora"), ("my-prompt", "prompt-tuning")):
        shutil.copytree(ADAPTERS / "minilm-l6-qa" / old, made / "adapters" / "minilm-l6-qa" / new)
    return made


@needs_adapters
@pytest.mark.parametrize("command", SHORT, ids=str)
def test_a_command_in_the_documents_does_what_it_says(command, folder, monkeypatch):
    assert command.words[:3] == ("python", "-m", "qa_compare"), "mark other commands as long"
    arguments = list(command.words[3:])
    monkeypatch.chdir(folder)
    monkeypatch.setattr(backbones, "ADAPTERS", folder / "adapters")
    if arguments[0] == "results":  # the documents' own tables, which a test of their own looks at
        arguments += ["--check", "--adapters", str(ADAPTERS)]
    assert main(arguments) == 0
    if "--output" in arguments:
        output = folder / arguments[arguments.index("--output") + 1]
        assert output.exists()
        shutil.rmtree(output, ignore_errors=True)


@pytest.mark.parametrize("command", LONG, ids=str)
def test_a_long_command_names_what_there_is(command, capsys):
    words = [word for word in command.words if not re.fullmatch(r"[A-Z_]+=\S*", word)]
    if words[0] == "make":
        targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
        assert {word for word in words[1:] if "=" not in word} <= set(targets)
    elif "-m" in words and words[words.index("-m") + 1].startswith(("qa_compare", "train.", "benchmarks.")):
        module, *arguments = words[words.index("-m") + 1 :]
        _check_options(module, arguments, capsys)
    elif words[0] == "python" and words[1].endswith(".py"):
        _check_options(words[1].removesuffix(".py"), words[2:], capsys)
    elif "/" in words[0]:
        assert (ROOT / words[0]).is_file() or words[0].startswith(".venv/")
    else:
        assert words[0] in {
            "python",
            "python3",
            "pip",
            "accelerate",
            "hf",
            "docker",
            "git",
            "pre-commit",
            ".",
            "apt-get",
        }


def _check_options(module: str, arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    if module == "app":
        told = app.parser().format_help()
    else:
        with pytest.raises(SystemExit):
            _help(module, arguments)
        told = capsys.readouterr().out
    _all_known([argument for argument in arguments if (module, argument) != ("train.base", "--head-only")], told)


def _help(module: str, arguments: list[str]) -> None:
    if module == "qa_compare":
        sys.exit(main([arguments[0], "--help"]))
    elif module == "train.base":
        loop.main(base.LORA, ["--help"])
    elif hasattr(loaded := importlib.import_module(module), "METHOD"):
        loop.main(loaded.METHOD, ["--help"])
    else:
        loaded.main(["--help"])


def _all_known(arguments: list[str], told: str) -> None:
    unknown = [word for word in arguments if word.startswith("--") and f"{word} " not in f"{told} ".replace("\n", " ")]
    assert not unknown


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: str(document.relative_to(ROOT)))
def test_every_file_that_a_document_names_exists(document):
    text = document.read_text(encoding="utf-8")
    missing = [link for link in LINK.findall(text) if not (document.parent / link).exists()]
    missing += [name for name in NAMED.findall(text) if not (ROOT / name).exists()]
    assert not missing


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: str(document.relative_to(ROOT)))
def test_every_section_that_a_document_links_to_exists(document):
    found = PLACE.findall(document.read_text(encoding="utf-8"))
    assert [(name, place) for name, place in found if place not in _places(document.parent / name, document)] == []


def _places(path: Path, document: Path) -> set[str]:
    """The addresses that GitHub gives to the headings of a document: lower case, hyphens, no punctuation."""
    text = (path if path.is_file() else document).read_text(encoding="utf-8")
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in HEADING.findall(text)}


def test_the_readme_is_short_and_leads_to_every_page():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 250
    pages = {path.relative_to(ROOT).as_posix() for path in ROOT.glob("docs/*.md")}
    assert pages - set(LINK.findall(text)) == set()
