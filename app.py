"""Start the page: `python app.py`. Also what a Hugging Face Space runs."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")  # read when gradio is imported

from qa_compare.errors import UserError
from qa_compare.inference.memory import keep_giving_back, share_freed_memory
from qa_compare.server.temporary import choose, keep_tidy

ADAPTERS = Path(__file__).parent / "adapters"


def main() -> int:
    """Build the page and serve it until it is stopped. Returns the exit status."""
    options = parser().parse_args()
    share_freed_memory()
    try:
        if said := choose():  # before libraries are imported that ask for a temporary folder
            print(f"app.py: {said}", file=sys.stderr)
        keep_tidy()
        keep_giving_back()
        _serve(options)
    except (UserError, OSError) as error:
        print(f"app.py: error: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    return 0


def _serve(options: argparse.Namespace) -> None:
    from qa_compare.inference.engine import Engine
    from qa_compare.models.backbones import BACKBONES
    from qa_compare.server.serving import serve
    from qa_compare.workbench.answers import Inspector
    from qa_compare.workbench.service import Service

    common = {"adapters": options.adapters, "precision": options.precision}
    engines = {name: Engine(name, **common) for name in BACKBONES}
    asked = Engine(options.backbone, weights=options.weights, revision=options.revision, **common)
    if options.backbone != "minilm-l6-qa" or options.weights or options.revision:
        _ = asked.located  # what was asked for by name may be fetched, and is missed now rather than later
    service = Service(engines | {asked.backbone: asked}, asked.backbone, options.squad)
    inspector = Inspector(service)
    inspector.answer_sample_beside(after=service.warm_up_beside())
    serve(service, inspector, host=options.host, port=options.port)


def parser() -> argparse.ArgumentParser:
    """The options, most of them from the environment where it names them."""
    made = argparse.ArgumentParser(prog="app.py", description="Compare base, LoRA and prompt tuning in the browser.")
    made.add_argument("--port", type=port, default=os.environ.get("GRADIO_SERVER_PORT", "7860"), help="default: 7860")
    made.add_argument("--host", default="0.0.0.0" if "SPACE_ID" in os.environ else "127.0.0.1")  # noqa: S104
    made.add_argument("--backbone", default="minilm-l6-qa", metavar="NAME", help="a name, a hub id, or a folder")
    made.add_argument("--weights", type=Path, metavar="DIR", help="the folder that holds the backbone's checkpoint")
    made.add_argument("--revision", metavar="COMMIT", help="the hub's commit, tag or branch of the backbone")
    made.add_argument("--adapters", type=Path, default=ADAPTERS, metavar="DIR", help="where the variants' folders are")
    made.add_argument(
        "--precision",
        choices=["auto", "fp32", "bf16"],
        default="fp32",
        help="fp32 (default), as saved answers are; bf16; or auto: bf16 where it is measured to be faster here",
    )
    made.add_argument("--squad", type=Path, metavar="FILE", help="questions in the place of SQuAD's from the hub")
    return made


def port(text: str) -> int:
    """The number of one, as an argument's type."""
    number = int(text)
    if not 0 < number < 2**16:
        raise argparse.ArgumentTypeError(f"{text} is not a port, which is a number from 1 to 65535")
    return number


if __name__ == "__main__":
    sys.exit(main())
