"""Publishing a variant: what goes to the hub, and what is said when nothing can."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, OfflineModeIsEnabled

from qa_compare.errors import UserError
from qa_compare.files import sha256
from train import publish as module
from train.publish import main, publish


class FakeHub:
    """Remembers what it is told; fails with `error` where there is one."""

    token = "hf_secret"

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error
        self.calls: list[tuple[str, dict[str, Any]]] = []

    def create_repo(self, repo_id: str, **more: Any) -> str:
        if self.error:
            raise self.error
        self.calls.append(("create_repo", {"repo_id": repo_id, **more}))
        return f"https://hub/{repo_id}"

    def upload_folder(self, **arguments: Any) -> None:
        self.calls.append(("upload_folder", arguments))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "lora"
    made.mkdir()
    for name in ("README.md", "run.json", "log.jsonl", "adapter_config.json", "adapter_model.safetensors"):
        (made / name).write_text(name)
    hashes = {"adapter_model.safetensors": sha256(made / "adapter_model.safetensors")}
    (made / "variant.json").write_text(json.dumps({"label": "LoRA", "sha256": hashes}))
    return made


def test_only_the_contracts_files_are_uploaded(folder):
    (folder / "notes.txt").write_text("private")
    (folder / ".env").write_text("HF_TOKEN=secret")
    hub = FakeHub()
    assert publish(folder, "somebody/lora", private=True, api=hub) == "https://hub/somebody/lora"
    [(first, created), (second, uploaded)] = hub.calls
    assert (first, second) == ("create_repo", "upload_folder")
    assert created == {"repo_id": "somebody/lora", "private": True, "exist_ok": True}
    assert uploaded["folder_path"] == folder
    assert sorted(uploaded["allow_patterns"]) == sorted(
        ["README.md", "variant.json", "run.json", "log.jsonl", "adapter_config.json", "adapter_model.safetensors"]
    )


def test_the_hubs_own_client_takes_what_it_is_called_with():
    import inspect

    from huggingface_hub import HfApi

    inspect.signature(HfApi.create_repo).bind(None, "a/b", private=False, exist_ok=True)
    inspect.signature(HfApi.upload_folder).bind(
        None, repo_id="a/b", folder_path=Path(), allow_patterns=[], commit_message=""
    )


def refusal(status: int) -> HfHubHTTPError:
    response: Any = SimpleNamespace(status_code=status, headers={}, request=None)
    return HfHubHTTPError("hf_secret was refused", response=response)


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (refusal(401), r"refused somebody/lora \(status 401\): sign in"),
        (refusal(500), r"refused somebody/lora \(status 500\)$"),
        (type("ConnectError", (Exception,), {})("no route"), r"did not answer \(ConnectError\): is there a network"),
        (OfflineModeIsEnabled("offline"), r"did not answer \(OfflineModeIsEnabled\): .* HF_HUB_OFFLINE not set"),
        (HFValidationError("a//b"), "is no name of a repository"),
    ],
)
def test_a_hub_that_takes_nothing_is_one_sentence_without_the_token(folder, error, sentence):
    with pytest.raises(UserError, match=sentence) as refused:
        publish(folder, "somebody/lora", api=FakeHub(error))
    assert "hf_secret" not in str(refused.value)


def test_without_a_token_nothing_is_sent(folder, monkeypatch, capsys):
    hub = FakeHub()
    hub.token = None
    monkeypatch.setattr(module, "get_token", lambda: None)
    monkeypatch.setattr(module, "HfApi", lambda: hub)
    with pytest.raises(SystemExit) as stopped:
        main([str(folder), "--repo-id", "somebody/lora"])
    assert stopped.value.code == 2
    assert "there is no token for the hub: sign in with `hf auth login`" in capsys.readouterr().err
    assert not hub.calls


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (lambda f: (f / "adapter_model.safetensors").write_text("other"), "is damaged"),
        (lambda f: (f / "variant.json").unlink(), "variant.json is missing"),
        (lambda f: (f / "README.md").unlink(), "not a finished variant"),
        (lambda f: [(f / "run.json").unlink(), (f / "run.json").symlink_to("/etc/hostname")], "leads out"),
    ],
)
def test_an_unsound_folder_is_not_published(folder, damage, sentence):
    damage(folder)
    hub = FakeHub()
    with pytest.raises(UserError, match=sentence):
        publish(folder, "somebody/lora", api=hub)
    assert not hub.calls
