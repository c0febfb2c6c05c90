"""Push a variant's folder to the Hugging Face Hub: the files that the page reads, and nothing else.

python -m train.publish adapters/minilm-l6-qa/lora --repo-id somebody/minilm-l6-qa-lora
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from huggingface_hub import HfApi, get_token
from huggingface_hub.errors import HfHubHTTPError, HFValidationError

from qa_compare.errors import UserError
from qa_compare.files import read_json, sha256
from qa_compare.models import variants
from qa_compare.runs import store
from qa_compare.runs.model_card import CARD
from train.command import one_line

FILES = (
    CARD, variants.VARIANT_FILE, store.RUN, store.LOG, store.METRICS, store.PREDICTIONS,
    variants.CONFIG_FILE, variants.ADAPTER_FILE, variants.HEAD_FILE,
)  # fmt: skip
_SIGN_IN = "sign in with `hf auth login`, or set HF_TOKEN to a token that may write"


def publish(folder: Path, repo_id: str, *, private: bool = False, api: Any = None) -> str:
    """Create the repository if it is not there, upload the folder; returns its address.

    Raises:
        UserError: the folder is no sound variant, there is no token, or the hub does not take it.
    """
    names = _checked(folder)
    api = api or HfApi()
    if not api.token and not get_token():
        raise UserError(f"there is no token for the hub: {_SIGN_IN}")
    try:
        address = api.create_repo(repo_id, private=private, exist_ok=True)
        api.upload_folder(
            repo_id=repo_id,
            folder_path=folder,
            allow_patterns=names,
            commit_message=f"Upload {folder.name}",
        )
    except HFValidationError as error:
        raise UserError(f"--repo-id {repo_id!r} is no name of a repository: ORGANISATION/NAME") from error
    except HfHubHTTPError as error:
        status = error.response.status_code
        hint = f": {_SIGN_IN}" if status in (401, 403) else ""
        raise UserError(f"the hub refused {repo_id} (status {status}){hint}") from error
    except Exception as error:  # each of the HTTP clients that the hub's library has been built on raises its own
        what = type(error).__name__
        raise UserError(f"the hub did not answer ({what}): is there a network, and HF_HUB_OFFLINE not set?") from error
    return str(address)


def _checked(folder: Path) -> list[str]:
    """The files to upload, after a look at those without which nobody could use them."""
    variant = read_json(variants.inside(folder, variants.VARIANT_FILE))
    hashes = variant.get("sha256") if isinstance(variant, dict) else None
    if not isinstance(hashes, dict) or not (folder / CARD).is_file():
        raise UserError(f"{folder} is not a finished variant: it has no sound variant.json or no card")
    for name, digest in hashes.items():
        if sha256(variants.inside(folder, name)) != digest:
            raise UserError(f"{folder.name}/{name} is damaged: its sha256 is not the one in variant.json")
    return [name for name in FILES if (folder / name).is_file() and variants.inside(folder, name)]


def main(argv: list[str] | None = None) -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--repo-id", required=True, metavar="ORGANISATION/NAME")
    parser.add_argument("--private", action="store_true", help="when the repository is created")
    arguments = parser.parse_args(argv)
    with one_line():
        print(publish(arguments.folder, arguments.repo_id, private=arguments.private))


if __name__ == "__main__":
    main()
