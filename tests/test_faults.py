"""A hub that is away, slow or talks nonsense; disks that are full or read-only; processes that are killed: the page is
up, and says what is off. QA_COMPARE_KILLS sets how often a training run and an evaluation are killed (make soak: more).
"""

from __future__ import annotations

import json
import os
import random
import re
import resource
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest
from gradio_client import Client
from gradio_client.exceptions import AppError
from safetensors.torch import load_file

from qa_compare.examples import to_squad
from qa_compare.files import write_json
from qa_compare.runs import read_metrics, read_predictions
from tests import served_app, tiny
from tests.served_app import ROOT, app, house
from tests.training_fixture import arguments

KILLS = int(os.environ.get("QA_COMPARE_KILLS", "2"))
ENVIRONMENT = {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}


def silent(_connection: socket.socket) -> None:
    time.sleep(600)


def nonsense(connection: socket.socket) -> None:
    connection.recv(65_536)
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 12\r\n\r\n<html>nonse!")
    connection.close()


@contextmanager
def hub(answer: Callable[[socket.socket], None] | None) -> Iterator[str]:
    """The address of a local server that answers like that; None: there is none."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{listener.getsockname()[1]}"
        if answer:
            listener.listen(64)

            def serve() -> None:
                while True:
                    try:
                        connection, _ = listener.accept()
                    except OSError:
                        return
                    threading.Thread(target=answer, args=(connection,), daemon=True).start()

            threading.Thread(target=serve, daemon=True).start()
        yield address


@pytest.mark.parametrize("answer", [None, silent, nonsense], ids=["away", "silent", "nonsense"])
def test_without_a_sound_hub_the_page_is_up_and_answers(tmp_path: Path, answer: Any) -> None:
    house(tmp_path)
    with (
        hub(answer) as address,
        app(tmp_path, tmp_path / "log", HF_HUB_OFFLINE="", HF_ENDPOINT=address, HF_HOME=str(tmp_path / "hub")) as page,
    ):
        assert page.health()["backbones"]["river-bert"]["ready"]
        assert page.health()["backbones"]["bert-tiny"]["ready"] is False
        assert [one["problem"] for one in page.compare()["variants"]] == [None, None]
        begin = time.monotonic()
        with pytest.raises(AppError, match=r"SQuAD \(validation\) is .* give a SQuAD JSON file instead"):
            Client(page.url, verbose=False).predict(source="squad", api_name="/errors")
        assert time.monotonic() - begin < 60
        assert page.compare()["variants"]


@contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """Nothing can be written below `folder`; skips where that cannot be had."""
    if os.geteuid() == 0:  # who may write anywhere, so that it takes a mount
        for command in (["mount", "--bind", folder, folder], ["mount", "-o", "remount,ro,bind", folder, folder]):
            if subprocess.run(command, capture_output=True, check=False).returncode:
                pytest.skip("root, and no mount can be made here")
        try:
            yield
        finally:
            subprocess.run(["umount", "-l", folder], capture_output=True, check=False)
        return
    before = folder.stat().st_mode
    folder.chmod(0o555)
    try:
        yield
    finally:
        folder.chmod(before)


def evaluate(folder: Path, *more: str) -> list[str]:
    found = [sys.executable, "-m", "qa_compare", "evaluate", str(folder / "questions.json"), "--no-bertscore"]
    found += ["--backbone", str(folder / "river-bert"), "--adapters", str(folder / "adapters"), "--variant", "lora"]
    return [*found, "--precision", "fp32", "--runs", str(folder / "runs"), *more]


def run(command: list[str], **options: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, cwd=ROOT, env=ENVIRONMENT, capture_output=True, text=True, check=False, timeout=250, **options
    )


def test_on_a_disk_without_room_for_anything_the_page_answers_and_says_what_is_off(tmp_path: Path) -> None:
    """Adapters, caches and the folder for uploads, all of them read-only."""
    house(tmp_path)
    (tmp_path / "home").mkdir()
    log = tmp_path.parent / f"{tmp_path.name}.log"
    with read_only(tmp_path):
        assert not os.access(tmp_path / "home", os.W_OK) or os.geteuid() != 0
        home = str(tmp_path / "home")
        with app(
            tmp_path, log, HOME=home, HF_HOME=home, XDG_CACHE_HOME=home, GRADIO_TEMP_DIR=f"{home}/uploads"
        ) as page:
            assert [one["problem"] for one in page.compare()["variants"]] == [None, None]
            assert page.health()["problems"] == []
            assert re.search(r"uploads and exports lie in \S+: \S+/home/uploads cannot be written", log.read_text())
            file = b'--x\r\nContent-Disposition: form-data; name="files"; filename="a.json"\r\n\r\n{}\r\n--x--\r\n'
            request = Request(f"{page.url}gradio_api/upload", file)
            request.add_header("Content-Type", "multipart/form-data; boundary=x")
            with urlopen(request) as reply:
                assert reply.status == 200


def test_an_evaluation_into_a_read_only_folder_says_so_before_the_work(tmp_path: Path) -> None:
    house(tmp_path)
    write_json(tmp_path / "questions.json", to_squad(tiny.examples(4)))
    with read_only(tmp_path / "adapters"):
        done = run(evaluate(tmp_path, "--save"))
    assert done.returncode == 2
    assert re.search(r"--save .*: the folder .* cannot be written$", done.stderr.strip())
    assert not (tmp_path / "runs").exists()


def small_files() -> None:
    """No file may grow over some bytes: what a full disk or a quota comes to."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (700, 700))


def test_an_evaluation_on_a_full_disk_ends_in_a_sentence_and_leaves_the_old_files(tmp_path: Path) -> None:
    house(tmp_path)
    write_json(tmp_path / "questions.json", to_squad(tiny.examples(4)))
    folder = tmp_path / "adapters" / "river-bert" / "lora"
    assert run(evaluate(tmp_path, "--save")).returncode == 0
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    done = run(evaluate(tmp_path, "--save"), preexec_fn=small_files)
    assert done.returncode == 2, done.stderr[-2000:]
    assert "Traceback" not in done.stderr
    assert "cannot be written" in done.stderr.splitlines()[-1] or "cannot keep" in done.stderr.splitlines()[-1]
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def killed(command: list[str], after: float) -> bool:
    """Run a command and kill it after so many seconds; whether it was still running."""
    with subprocess.Popen(
        command, cwd=ROOT, env=ENVIRONMENT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        try:
            process.wait(after)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            return True
    return False


def expect_whole(folder: Path) -> None:
    """Every file that goes by its own name can be read to its end; what was being written has a dot before its name."""
    for path in folder.rglob("*"):
        if any(part.startswith(".") for part in path.relative_to(folder).parts):
            continue
        if path.suffix == ".safetensors":
            assert load_file(path)
        elif path.suffix == ".json":
            json.loads(path.read_text())
        elif path.suffix == ".parquet":
            assert read_predictions(path.parent)


def test_an_evaluation_killed_at_random_moments_ends_as_the_whole_one(tmp_path: Path) -> None:
    house(tmp_path)
    write_json(tmp_path / "questions.json", to_squad(tiny.examples(1_500)))
    folder = tmp_path / "adapters" / "river-bert" / "lora"
    begin = time.monotonic()
    assert run(evaluate(tmp_path, "--save")).returncode == 0
    spent, whole = time.monotonic() - begin, (read_metrics(folder), read_predictions(folder))
    assert whole[0]
    assert whole[1]
    for name in ("metrics.json", "predictions.parquet", "README.md"):
        (folder / name).unlink()
    for _ in range(KILLS):
        killed(evaluate(tmp_path, "--save"), random.uniform(0.3, 1) * spent)
        expect_whole(tmp_path / "adapters")
    done = run(evaluate(tmp_path, "--save"))
    assert done.returncode == 0, done.stderr[-2000:]
    found = read_metrics(folder), read_predictions(folder)
    assert found[0]
    assert found[1]
    assert (found[0].f1, found[0].exact_match, found[0].calibration) == (
        whole[0].f1,
        whole[0].exact_match,
        whole[0].calibration,
    )
    assert found[1].start.tolist() == whole[1].start.tolist()


def test_a_training_killed_at_random_moments_is_resumed_to_its_end(tmp_path: Path) -> None:
    made = tiny.examples(16)
    write_json(tmp_path / "train.json", to_squad(made[:12]))
    write_json(tmp_path / "validation.json", to_squad(made[12:]))
    tiny.checkpoint(tmp_path / "checkpoint")
    command = [sys.executable, "-m", "train.lora", *arguments(tmp_path, "--epochs", "6", "--patience", "999")]
    begin = time.monotonic()
    assert killed([*command, "--output", str(tmp_path / "whole")], 250) is False
    spent = time.monotonic() - begin
    for _ in range(KILLS):
        killed([*command, "--resume"] if (tmp_path / "runs").exists() else command, random.uniform(0.3, 1) * spent)
        expect_whole(tmp_path / "adapters")
    folder = tmp_path / "adapters" / "checkpoint" / "lora"
    done = run([*command, "--resume"])
    assert (folder / "run.json").is_file(), done.stderr[-2000:]
    steps = [json.loads((one / "run.json").read_text())["steps"] for one in (folder, tmp_path / "whole")]
    assert steps[0] == steps[1]
    expect_whole(tmp_path / "adapters")
    assert served_app.ROOT == ROOT
