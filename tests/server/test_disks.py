"""Disks that are full or read-only, and no temporary folder: what can be done is done, and what is off is said."""

from __future__ import annotations

import json
import re
import resource
import shutil
import signal
import time
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError

from qa_compare.__main__ import main
from qa_compare.data.examples import to_squad
from qa_compare.files import write_json
from tests import tiny
from tests.commands import evaluation, module, run
from tests.disks import alone, read_only, small
from tests.patience import LONG
from tests.places import ROOT
from tests.served_app import App, app, house
from tests.training_fixture import arguments
from train import lora
from train.checkpoints import last_checkpoint
from train.loop import main as train

pytestmark = pytest.mark.slow

NO_UPLOADS = "Uploads are off on this server: it has no room for files."
NO_EXPORTS = "Exports are off on this server: it has no room for files"
QUESTION = {"passage": "The river rises in the north.", "question": "Where rises the river?"}


def upload(page: App, name: str, content: bytes) -> tuple[int, Any]:
    """Status and answer of a file that is sent as the page sends it."""
    head = f'--x\r\nContent-Disposition: form-data; name="files"; filename="{name}"\r\n\r\n'.encode()
    request = Request(f"{page.url}gradio_api/upload", head + content + b"\r\n--x--\r\n")
    request.add_header("Content-Type", "multipart/form-data; boundary=x")
    try:
        with urlopen(request) as reply:
            return reply.status, json.load(reply)
    except HTTPError as error:
        return error.code, json.load(error)


def export(page: App) -> Any:
    """What the error inspection's first export says, pressed as the page presses it."""
    with urlopen(f"{page.url}config") as reply:
        config = json.load(reply)
    parts = {one["id"]: one for one in config["components"]}
    file = next(name for name, one in parts.items() if one["props"].get("elem_id") == "errors-file")
    event = next(one for one in config["dependencies"] if one["outputs"] == [file] and len(one["inputs"]) > 5)
    values = [parts[one]["props"].get("value") for one in event["inputs"]]
    data = ["" if one is None else one for one in values]
    body = json.dumps({"data": data, "fn_index": event["id"], "session_hash": "exporter"}).encode()
    request = Request(f"{page.url}gradio_api/queue/join", body, {"Content-Type": "application/json"})
    urlopen(request).close()
    with urlopen(f"{page.url}gradio_api/queue/data?session_hash=exporter") as reply:
        [done] = re.findall(r'data: (\{"msg":"process_completed".*\})', reply.read().decode())
    return json.loads(done)["output"]


def expect_answers(page: App) -> None:
    """What takes no file still works: one question, a batch given as a list, the table of errors."""
    assert [one["problem"] for one in page.compare()["variants"]] == [None, None]
    client = Client(page.url, verbose=False)
    assert client.predict(questions=[QUESTION], api_name="/predict_batch")["questions"] == 1
    end = time.monotonic() + LONG
    while True:  # the sample is answered beside the page, once
        try:
            assert client.predict(source="sample", limit=1, api_name="/errors")["rows"]
            return
        except AppError as error:
            if "Busy" not in str(error) or time.monotonic() > end:
                raise
        time.sleep(0.5)


def test_without_a_temporary_folder_a_cache_or_a_home_to_write_to_the_page_answers_and_says_what_is_off(
    tmp_path: Path,
) -> None:
    """Adapters, home, caches and every folder for temporary files are read-only; only memory is left."""
    house(tmp_path)
    home = tmp_path / "home"
    home.mkdir()
    places = read_only("/tmp", "/var/tmp", "/usr/tmp", Path.home(), ROOT, tmp_path)
    begin = alone(*small(Path("/dev/shm"), "1m"), *places)
    log = tmp_path.parent / f"{tmp_path.name}.log"
    own = {"HOME": str(home), "HF_HOME": str(home), "XDG_CACHE_HOME": str(home), "GRADIO_TEMP_DIR": f"{home}/uploads"}
    with app(tmp_path, log, begin_with=begin, **own) as page:
        told = (
            r"uploads and exports lie in /dev/shm/qa-compare: \S+/home/uploads/qa-compare cannot be written \(read-only"
        )
        assert re.search(told, log.read_text())
        assert page.health()["problems"] == []
        expect_answers(page)
        assert upload(page, "a.json", b"{}")[0] == 200
        assert "path" in export(page)["data"][0]


def test_on_a_full_disk_the_page_answers_and_says_what_is_off(tmp_path: Path) -> None:
    house(tmp_path)
    write_json(tmp_path / "rivers.json", to_squad(tiny.examples(4)))
    uploads = tmp_path / "uploads"
    uploads.mkdir()
    with app(
        tmp_path, tmp_path / "log", begin_with=alone(*small(uploads, "128k")), GRADIO_TEMP_DIR=str(uploads)
    ) as page:
        assert page.health()["problems"] == []
        client = Client(page.url, verbose=False)
        found = client.predict(file=handle_file(tmp_path / "rivers.json"), api_name="/predict_batch")
        assert found["questions"] == 4
        expect_answers(page)
        assert upload(page, "large.json", b"x" * 200_000)[0] == 507
        while upload(page, "small.json", b"x" * 5_000)[0] == 200:
            pass
        assert upload(page, "small.json", b"x" * 5_000) == (507, {"detail": NO_UPLOADS, "error": NO_UPLOADS})
        assert export(page)["error"] == NO_EXPORTS
        assert re.search(r"uploads and exports are off: .*no space left", page.health()["problems"][0])
        expect_answers(page)


@pytest.fixture
def measured(tmp_path: Path) -> Path:
    """The folder of a variant that was evaluated once."""
    house(tmp_path)
    write_json(tmp_path / "questions.json", to_squad(tiny.examples(4)))
    assert main(evaluation(tmp_path, "--save")) == 0
    return tmp_path / "adapters" / "river-bert" / "lora"


def test_an_evaluation_into_a_read_only_folder_says_so_before_the_work(measured: Path, tmp_path: Path) -> None:
    begin = alone(*read_only(tmp_path / "adapters"))
    done = run([*begin, *module("qa_compare", *evaluation(tmp_path, "--save", "--runs", str(tmp_path / "other")))])
    assert done.returncode == 2
    assert re.search(r"--save .*: the folder .* cannot be written$", done.stderr.strip())
    assert not (tmp_path / "other").exists()


# Fills the disk over the variant's folder to the last byte, runs the rest of the line, and tells what the folder holds
FULL = """cp '{folder}'/* '{beside}' && mount -t tmpfs -o size={size} none '{folder}' && cp '{beside}'/* '{folder}' &&
{{ head -c 1000000 /dev/zero > '{folder}/filler' 2>/dev/null; rm -rf '{beside}'/*; }}
"$@"; status=$?; cp '{folder}'/* '{beside}'; exit $status"""


def test_an_evaluation_on_a_full_disk_ends_in_a_sentence_and_leaves_the_old_files(
    measured: Path, tmp_path: Path
) -> None:
    before = {path.name: path.read_bytes() for path in measured.iterdir()}
    beside = tmp_path / "beside"
    beside.mkdir()
    begin = alone()
    begin[-2] = FULL.format(folder=measured, beside=beside, size="128k")
    done = run([*begin, *module("qa_compare", *evaluation(tmp_path, "--save"))])
    assert done.returncode == 2, done.stderr[-2000:]
    assert "Traceback" not in done.stderr
    assert done.stderr.splitlines()[-1].endswith("cannot be written: there is no space left on its disk")
    after = {path.name: path.read_bytes() for path in beside.iterdir()}
    assert len(after.pop("filler")) < 1_000_000
    assert after == before


def small_files() -> None:
    """No file may grow over some bytes, which a quota comes to. Takes no mount."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (700, 700))


def test_an_evaluation_over_its_quota_does_so_too(measured: Path, tmp_path: Path) -> None:
    before = {path.name: path.read_bytes() for path in measured.iterdir()}
    done = run(module("qa_compare", *evaluation(tmp_path, "--save")), preexec_fn=small_files)
    assert done.returncode == 2, done.stderr[-2000:]
    assert "Traceback" not in done.stderr
    assert "cannot be written" in done.stderr.splitlines()[-1] or "cannot keep" in done.stderr.splitlines()[-1]
    assert {path.name: path.read_bytes() for path in measured.iterdir()} == before


def test_a_training_on_a_full_disk_ends_in_a_sentence_and_goes_on_once_there_is_room(tmp_path: Path) -> None:
    made = tiny.examples(16)
    write_json(tmp_path / "train.json", to_squad(made[:12]))
    write_json(tmp_path / "validation.json", to_squad(made[12:]))
    tiny.checkpoint(tmp_path / "checkpoint")
    runs = tmp_path / "runs"
    runs.mkdir()
    kept = tmp_path / "kept"  # the small disk ends with the command, and is copied before
    begin = alone(*small(runs, "200k"))
    begin[-2] = begin[-2].replace('exec "$@"', f'{{ "$@"; status=$?; cp -r {runs}/. {kept}; exit $status; }}')
    command = module("train.lora", *arguments(tmp_path, "--epochs", "4", "--patience", "999"))
    done = run([*begin, *command])
    assert done.returncode == 2, done.stderr[-2000:]
    assert "Traceback" not in done.stderr
    assert re.search(r"cannot be written \(there is no space left on its disk\): make room", done.stderr)
    assert last_checkpoint(kept / "checkpoint" / "lora")
    shutil.copytree(kept, runs, dirs_exist_ok=True)
    train(lora.METHOD, [*command[3:], "--resume"])
    assert (tmp_path / "adapters" / "checkpoint" / "lora" / "run.json").is_file()
