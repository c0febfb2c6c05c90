"""Run a training by its recipe: a TOML file with the command and its options, one for each shipped adapter.

python -m train.recipe                                          # list the recipes
python -m train.recipe minilm-l6-qa/lora --data DATA            # run one
python -m train.recipe minilm-l6-qa/lora --data DATA --epochs 1 # options after it win over the recipe's own

A recipe's keys are the command's options as `--help` lists them; its data files lie below `--data`.
"""

from __future__ import annotations

import argparse
import runpy
import shlex
import sys
import tomllib
from pathlib import Path
from typing import Any

from qa_compare.errors import UserError, quoted
from train.command import one_line
from train.options import Options

RECIPES = Path(__file__).parent / "recipes"
_QUEUE = RECIPES / "queue.toml"
COMMANDS = ("base", "lora", "prompt_tuning", "prefix_tuning", "ia3", "full", "ablation", "sample_efficiency")
_BELOW_DATA = {"train-file", "validation-file", "keep-out"}
_BELOW_ADAPTERS = {"init-from"}


def names() -> list[str]:
    """The recipes in the order of the queue, and after them those that it does not list."""
    queued: list[str] = tomllib.loads(_QUEUE.read_text(encoding="utf-8"))["order"]
    there = sorted(path.relative_to(RECIPES).with_suffix("").as_posix() for path in RECIPES.glob("*/*.toml"))
    return [*queued, *(name for name in there if name not in queued)]


def read(name: str) -> dict[str, Any]:
    """A recipe's keys and values.

    Raises:
        UserError: there is no such recipe, it is not TOML, or it names no training command.
    """
    if name not in names():
        raise UserError(f"there is no recipe {quoted(name)}: choose one of {', '.join(names())}")
    path = RECIPES / f"{name}.toml"
    try:
        recipe = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read: {error}") from error
    if recipe.get("command") not in COMMANDS:
        raise UserError(f'{path}: "command" must be one of {", ".join(COMMANDS)}')
    return recipe


def arguments(recipe: dict[str, Any], data: Path, adapters: Path) -> list[str]:
    """The recipe as arguments of its command: `epochs = 2` becomes `--epochs 2`, a list an option for each item."""
    words = []
    for key, value in recipe.items():
        if key == "command" or value is False:
            continue
        for item in value if isinstance(value, list) else [value]:
            words.append(f"--{key}")
            if key in _BELOW_DATA:
                words.append(str(data / item))
            elif key in _BELOW_ADAPTERS:
                words.append(str(adapters / item))
            elif item is not True:
                words.append(str(item))
    return words


def _run(name: str, data: Path, adapters: Path, given: list[str]) -> None:
    with one_line():
        recipe = read(name)
    words = [*arguments(recipe, data, adapters), "--adapters", str(adapters), "--recipe", name, *given]
    module = f"train.{recipe['command']}"
    print(f"python -m {module} {shlex.join(words)}", file=sys.stderr, flush=True)
    sys.argv = [module, *words]
    runpy.run_module(module, run_name="__main__")


def main(argv: list[str] | None = None) -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", nargs="?", help="backbone/variant; without it, the recipes are listed")
    parser.add_argument("--data", type=Path, help="the folder of the data files that the recipe names")
    parser.add_argument("--adapters", type=Path, default=Options().adapters, help="folder of all adapters")
    chosen, given = parser.parse_known_args(argv)
    if chosen.name is None:
        print("\n".join(names()))
    elif chosen.data is None:
        parser.error("--data is missing: the folder of the data files that the recipe names")
    else:
        _run(chosen.name, chosen.data, chosen.adapters, given)


if __name__ == "__main__":
    main()
