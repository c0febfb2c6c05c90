"""The command line, with the real engine: what it prints and writes, and what wrong input gets."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from qa_compare.__main__ import main
from qa_compare.cli.printing import table
from qa_compare.data.examples import to_squad
from qa_compare.data.readers import read_examples
from qa_compare.inference.comparison import Comparison, VariantAnswer
from qa_compare.inference.decoding import Candidate, Prediction
from qa_compare.measure.scoring import score
from qa_compare.models.backbones import ADAPTERS
from tests import tiny
from tests.places import ROOT

pytestmark = pytest.mark.slow

PASSAGE = "The Seine rises in Burgundy and flows through Paris and Rouen to the English Channel."
QUESTION = "Where does the Seine rise?"
SHIPPED = ("base", "lora", "prompt-tuning")

needs_adapters = pytest.mark.skipif(
    not all((ADAPTERS / "minilm-l6-qa" / name / "variant.json").is_file() for name in SHIPPED),
    reason="the adapters of minilm-l6-qa are not in this checkout",
)


@pytest.fixture(scope="module")
def backbone(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A small random BERT's folder: its answers are nonsense, and come at once."""
    return str(tiny.checkpoint(tmp_path_factory.mktemp("cli") / "river-bert"))


@pytest.fixture
def questions(tmp_path: Path) -> Path:
    path = tmp_path / "questions.json"
    path.write_text(json.dumps(to_squad(tiny.examples())), encoding="utf-8")
    return path


def start(*arguments: str | Path, **kwargs: Any) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "qa_compare", *map(str, arguments)],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        # what runs the tests may have been started with interrupts off, which a program's own programs inherit
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509 - it only sets that
        **kwargs,
    )


def ask(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> str:
    assert main(["ask", *map(str, arguments)]) == 0
    return capsys.readouterr().out


@needs_adapters
def test_ask_shows_the_shipped_variants_one_a_row_and_who_agrees(capsys: pytest.CaptureFixture[str]) -> None:
    lines = ask(capsys, "--passage", PASSAGE, "--question", QUESTION).splitlines()
    for label in ("Base", "LoRA", "Prompt tuning"):
        [row] = [line for line in lines if line.split("  ")[0].strip() == label]
        assert any(word in row for word in PASSAGE.split())
        assert "%" in row
        assert row.rstrip().endswith("ms")
    assert re.search("agree|differ|says", lines[-1])


@needs_adapters
def test_ask_json_is_one_object_with_exact_offsets_and_five_candidates(capsys: pytest.CaptureFixture[str]) -> None:
    comparison = json.loads(ask(capsys, "--passage", PASSAGE, "--question", QUESTION, "--json"))
    assert comparison["question"] == QUESTION
    assert [column["variant"] for column in comparison["variants"]] == list(SHIPPED)
    for column in comparison["variants"]:
        assert PASSAGE[column["start"] : column["end"]] == column["answer"] != ""
        assert len(column["candidates"]) == 5
        assert 0 < column["confidence"] <= 1
        assert column["problem"] is None


@needs_adapters
def test_ask_with_variants_shows_those_in_the_order_given(capsys: pytest.CaptureFixture[str]) -> None:
    text = ask(capsys, "--passage", PASSAGE, "--question", QUESTION, "--variants", "lora, base", "--json")
    assert [column["variant"] for column in json.loads(text)["variants"]] == ["lora", "base"]


def test_a_passage_file_keeps_its_line_ends_and_loses_its_byte_order_mark(
    tmp_path: Path, backbone: str, capsys: pytest.CaptureFixture[str]
) -> None:
    passage = "The river\r\nrises in\tthe north.\r\n"
    file = tmp_path / "passage.txt"
    file.write_bytes(passage.encode("utf-8-sig"))
    text = ask(capsys, "--passage-file", file, "--question", QUESTION, "--backbone", backbone, "--json")
    [column] = json.loads(text)["variants"]
    for candidate in column["candidates"]:
        assert passage[candidate["start"] : candidate["end"]] == candidate["text"]


def test_markup_and_control_characters_of_a_passage_do_not_reach_the_terminal() -> None:
    text = "[red]The\tSeine[/red]\x1b[2J\x9b"
    found = Prediction("", (Candidate(text, 0, len(text), 1.0, 0.25),), 0.0, 1)
    columns = (VariantAnswer("base", "Base", found), VariantAnswer("lora", "LoRA", None))
    shown = table(Comparison(text, QUESTION, columns))
    [row] = [line for line in shown.splitlines() if line.startswith("Base")]
    assert "[red]The Seine[/red]�[2J�" in row
    assert "25.0 %" in row
    assert all(line.isprintable() for line in shown.splitlines())


def test_a_question_cut_to_its_first_tokens_is_said_beside_the_answers(
    backbone: str, capsys: pytest.CaptureFixture[str]
) -> None:
    text = ask(capsys, "--passage", PASSAGE, "--question", "where " * 300, "--backbone", backbone)
    assert "only its beginning was read" in " ".join(text.split())


def test_predict_writes_an_answer_out_of_the_passage_for_every_id(
    tmp_path: Path, questions: Path, backbone: str, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "answers.json"
    status = main(["predict", str(questions), "--variant", "base", "--backbone", backbone, "--output", str(output)])
    captured = capsys.readouterr()
    assert status == 0
    answers = json.loads(output.read_text(encoding="utf-8"))
    assert list(answers) == [example.id for example in tiny.examples()]
    for example in tiny.examples():
        assert answers[example.id]
        assert answers[example.id] in example.passage
    assert captured.out == f"wrote 12 answers to {output}\n"
    assert "12/12" in captured.err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["answers.json", "questions.json"]


ODD = """context,query,answer_text
The sign shows a % and A. Nothing else.,Which letter does it show?,A
The sign shows a % and A. Nothing else.,"{question}",The sign displays a percent
The sign shows a % and A. Nothing else.,What?,"{long}"
"""


@pytest.fixture
def odd(tmp_path: Path) -> Path:
    """A gold answer of which normalisation leaves nothing, one that is not in the passage, one too long, a long
    question."""
    long = " ".join(f"word{number}" for number in range(40))
    (tmp_path / "odd.csv").write_text(ODD.format(question="when and where " * 40, long=long), encoding="utf-8")
    return tmp_path / "odd.csv"


READ = (
    "odd.csv: passages from 'context'; questions from 'query'; gold answers from 'answer_text'. Read: 3 questions, all "
    "with gold answers. 2 gold answers are not in their passages: they are scored by their text and not trained on "
    "(first: line 3)."
)
CUT = "1 question is longer than 64 tokens: only its beginning was read"


def test_predict_says_what_was_read_and_how_many_questions_were_cut(
    tmp_path: Path, odd: Path, backbone: str, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "answers.json"
    assert main(["predict", str(odd), "--variant", "base", "--backbone", backbone, "--output", str(output)]) == 0
    captured = capsys.readouterr()
    assert READ in captured.err.splitlines()
    told = "1 question is longer than this model reads: only its beginning was read"
    assert captured.out == f"wrote 3 answers to {output}\n{told}\n"
    assert len(json.loads(output.read_text(encoding="utf-8"))) == 3  # it needs no gold answer


def test_evaluate_says_what_was_read_what_was_cut_what_is_too_long_and_why_exact_match_exceeds_f1(
    tmp_path: Path, odd: Path, backbone: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("qa_compare.runs.evaluate._text", lambda _row, example: example.answers[0].text)
    command = ["evaluate", str(odd), "--variant", "base", "--backbone", backbone, "--runs", str(tmp_path / "runs")]
    assert main([*command, "--no-bertscore"]) == 0
    captured = capsys.readouterr()
    assert READ in captured.err.splitlines()
    cut, long, odd_scores = [line for line in captured.out.splitlines() if line.endswith(".")][-3:]
    assert cut == f"{CUT}."
    assert long == "1 gold answer is longer than 30 tokens, the longest answer that a variant gives (in 1 question)."
    assert odd_scores.startswith("1 question has exact match 100 but F1 0, as in SQuAD's own script: ")


def test_evaluate_without_a_gold_answer_says_which_columns_there_are(
    tmp_path: Path, backbone: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "f.csv").write_text("passage,question,solution\nRome is old.,What is old?,Rome\n")
    assert main(["evaluate", str(tmp_path / "f.csv"), "--variant", "base", "--backbone", backbone]) == 2
    err = capsys.readouterr().err
    assert "no gold answers, which would be in 'answers', 'answer_text'" in err
    assert "not used: 'solution'" in err
    assert "No question has a gold answer to measure against" in err


def test_evaluate_prints_and_writes_the_scores_of_what_predict_writes(
    tmp_path: Path, questions: Path, backbone: str, capsys: pytest.CaptureFixture[str]
) -> None:
    output, written = tmp_path / "metrics.json", tmp_path / "answers.json"
    common = [str(questions), "--variant", "base", "--backbone", backbone, "--precision", "fp32"]
    assert main(["predict", *common, "--output", str(written)]) == 0
    capsys.readouterr()
    assert main(["evaluate", *common, "--output", str(output), "--runs", str(tmp_path / "runs")]) == 0
    expected = score(json.loads(written.read_text(encoding="utf-8")), read_examples(questions))
    metrics = json.loads(output.read_text(encoding="utf-8"))
    assert metrics["exact_match"]["value"] == pytest.approx(100 * expected.exact_match.mean())
    assert metrics["f1"]["value"] == pytest.approx(100 * expected.f1.mean())
    assert metrics["dataset"]["questions"] == 12
    out = capsys.readouterr().out
    assert f"{100 * expected.f1.mean():.2f}" in out
    assert f"{100 * expected.exact_match.mean():.2f}" in out


def test_an_exported_base_is_a_backbone_that_answers_alike(
    tmp_path: Path, backbone: str, capsys: pytest.CaptureFixture[str]
) -> None:
    exported = tmp_path / "exported"
    assert main(["export-base", backbone, "--output", str(exported)]) == 0
    capsys.readouterr()
    asked = ("--passage", PASSAGE, "--question", QUESTION, "--precision", "fp32", "--json")
    [before] = json.loads(ask(capsys, *asked, "--backbone", backbone))["variants"]
    [after] = json.loads(ask(capsys, *asked, "--backbone", exported))["variants"]
    assert after["candidates"] == before["candidates"]


def wrong(name: str, *arguments: str, says: str) -> Any:
    return pytest.param(arguments, says, id=name)


ASK = ("ask", "--passage", PASSAGE, "--question")
OUTPUT = ("--output", "out.json")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        wrong("no command", says="Missing command (see python -m qa_compare --help)"),
        wrong("unknown command", "guess", says="No such command 'guess'"),
        wrong("unknown option", "ask", "--passages", PASSAGE, says="No such option '--passages'"),
        wrong("option without a value", *ASK, says="--question"),
        wrong("a word too many", *ASK, "Who?", "now", says="now"),
        wrong("no question", "ask", "--passage", PASSAGE, says="--question"),
        wrong("no passage", "ask", "--question", QUESTION, says="--passage"),
        wrong("two passages", *ASK, "Who?", "--passage-file", "text.txt", says="not allowed with"),
        wrong("empty question", *ASK, "", says="question is empty"),
        wrong("white question", *ASK, " \t\n", says="question is empty"),
        wrong("empty passage", "ask", "--passage", "", "--question", QUESTION, says="passage is empty"),
        wrong("long question", *ASK, "x" * 5000, says="5,000 characters"),
        wrong("not UTF-8 on the command line", *ASK, "caf\udce9?", says="--question is not valid UTF-8"),
        wrong("no passage file", "ask", "--passage-file", "no.txt", "--question", "Who?", says="no.txt"),
        wrong("passage file not UTF-8", "ask", "--passage-file", "latin.txt", "--question", "Who?", says="UTF-8"),
        wrong("passage file a folder", "ask", "--passage-file", "folder", "--question", "Who?", says="it is a folder"),
        wrong("variants without a name", *ASK, "Who?", "--variants", " , ", says="names no variant"),
        wrong("unknown variant to ask", *ASK, "Who?", "--variants", "base,lorra", says="'lorra'"),
        wrong("unknown backbone", *ASK, "Who?", "--backbone", "bert_huge", says="minilm-l6-qa, minilm-l6, bert-tiny"),
        wrong("no adapters folder", *ASK, "Who?", "--adapters", "nowhere", says="--adapters nowhere"),
        wrong("unknown precision", *ASK, "Who?", "--precision", "int8", says="'auto', 'fp32', 'bf16'"),
        wrong("batch size 0", *ASK, "Who?", "--batch-size", "0", says="0 is not a positive whole number"),
        wrong("batch size a word", *ASK, "Who?", "--batch-size", "many", says="many is not a positive whole number"),
        wrong("no file", "predict", "no.json", "--variant", "base", *OUTPUT, says="no.json"),
        wrong("not JSON", "predict", "text.json", "--variant", "base", *OUTPUT, says="text.json"),
        wrong("other JSON", "evaluate", "list.json", "--variant", "base", *OUTPUT, says="list.json"),
        wrong("no gold answer", "evaluate", "bare.json", "--variant", "base", *OUTPUT, says="gold answer"),
        wrong("unknown variant", "predict", "questions.json", "--variant", "lorra", *OUTPUT, says="there are base"),
        wrong("no variant", "predict", "questions.json", *OUTPUT, says="--variant"),
        wrong("no output folder", "predict", "questions.json", "--variant", "base", "--output", "no/o.json", says="no"),
        wrong("output a folder", "predict", "questions.json", "--variant", "base", "--output", "folder", says="folder"),
        wrong("output a device", "evaluate", "bare.json", "--variant", "base", "--output", "/dev/full", says="not an"),
        wrong(
            "output over the input", "predict", "questions.json", "--variant", "base", "--output", "./questions.json",
            says="overwrite",
        ),
        wrong("export of an unknown backbone", "export-base", "bert_huge", "--output", "out.json", says="bert_huge"),
    ],
)  # fmt: skip
def test_wrong_input_gets_one_line_status_2_and_no_file(
    arguments: tuple[str, ...],
    says: str,
    tmp_path: Path,
    questions: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "text.json").write_text("Who, where?", encoding="utf-8")
    (tmp_path / "list.json").write_text('{"rows": [1, 2]}', encoding="utf-8")
    (tmp_path / "latin.txt").write_bytes("Un café à Rouen".encode("latin-1"))
    (tmp_path / "folder").mkdir()
    unanswered = {"context": PASSAGE, "qas": [{"id": "1", "question": QUESTION, "answers": []}]}
    (tmp_path / "bare.json").write_text(json.dumps({"data": [{"title": "", "paragraphs": [unanswered]}]}))
    monkeypatch.chdir(tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()}

    assert main(arguments) == 2

    captured = capsys.readouterr()
    assert captured.out == ""
    [line] = captured.err.splitlines()
    assert line.startswith("qa_compare: error: ")
    assert says in line
    assert {path: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()} == before


def test_wrong_input_ends_the_process_with_status_2_and_without_a_traceback() -> None:
    with start("predict", "no such file.json", "--variant", "base", "--output", "out.json") as process:
        out, err = process.communicate()
    assert process.returncode == 2
    assert out == ""
    assert err.startswith("qa_compare: error: ")
    assert err.count("\n") == 1


def test_an_interrupt_ends_with_one_line_status_130_and_no_file(tmp_path: Path, backbone: str) -> None:
    questions, output = tmp_path / "questions.json", tmp_path / "answers.json"
    questions.write_text(json.dumps(to_squad(tiny.examples(20_000))), encoding="utf-8")
    arguments = ("predict", questions, "--variant", "base", "--backbone", backbone, "--output", output)
    with start(*arguments) as process:
        assert process.stderr
        shown = ""
        while "0/20000" not in shown:  # the bar is there: answering has begun
            shown += process.stderr.read(1) or pytest.fail(f"ended without a bar: {shown}")
        process.send_signal(signal.SIGINT)
        _out, err = process.communicate()
    assert process.returncode == 130, err
    assert err.splitlines()[-1] == "qa_compare: interrupted"
    assert "Traceback" not in err
    assert list(tmp_path.iterdir()) == [questions]


def test_a_reader_that_goes_away_is_no_error(backbone: str) -> None:
    arguments = ("ask", "--passage", PASSAGE, "--question", QUESTION, "--backbone", backbone, "--json")
    with start(*arguments) as process:
        assert process.stdout
        process.stdout.close()
        assert process.stderr
        err = process.stderr.read()
    assert process.returncode == 141
    assert err == ""


@pytest.mark.parametrize("form", [("--json",), ()], ids=["json", "table"])
def test_a_terminal_that_knows_only_ascii_gets_ascii(form: tuple[str, ...], backbone: str) -> None:
    arguments = ("ask", "--passage", "Élan → 🙂", "--question", "où?", "--backbone", backbone, *form)
    with start(*arguments, env={**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}) as process:
        out, err = process.communicate()
    assert (process.returncode, err) == (0, "")
    assert out.isascii()
    if form:
        assert json.loads(out)["question"] == "où?"


def test_help_is_printed_without_loading_torch() -> None:
    program = f"import sys\nfrom {main.__module__} import main\nprint(main(['ask', '--help']), 'torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "0 False"
    assert "--passage-file" in done.stdout


CSV = """passage,question,answers
The mill stands by the weir.,Where does the mill stand?,by the weir
The mill stands by the weir.,What stands by the weir?,The mill | mill
"""


def test_a_table_of_questions_becomes_squad_json_that_is_read_again(tmp_path, capsys):
    (tmp_path / "questions.csv").write_text(CSV)
    assert main(["convert", str(tmp_path / "questions.csv"), "--output", str(tmp_path / "squad.json")]) == 0
    out = capsys.readouterr().out
    assert "passages from 'passage'; questions from 'question'; gold answers from 'answers'. Read: 2 questions" in out
    assert "wrote 2 questions, all with gold answers (3 in all), to " in out
    assert read_examples(tmp_path / "squad.json") == read_examples(tmp_path / "questions.csv")


def test_convert_lists_every_row_that_cannot_be_used_and_writes_nothing_unless_told_to(tmp_path, capsys):
    source, output = tmp_path / "questions.csv", tmp_path / "squad.json"
    source.write_text(CSV + ",Where?,mill\nThe mill stands.,,mill\nThe mill stands.,Where?,nowhere\n")
    assert main(["convert", str(source), "--output", str(output)]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith("line 4: its passage (context) is empty")
    assert lines[1].startswith("line 5: its question is empty")
    assert lines[2] == 'line 6: the gold answer "nowhere" is not in its passage'
    assert "2 rows cannot be used; --keep-good leaves them out and keeps the other 3" in lines[3]
    assert not output.exists()
    assert main(["convert", str(source), "--output", str(output), "--keep-good"]) == 0
    assert len(read_examples(output)) == 3


def test_convert_without_an_output_only_checks(tmp_path, capsys):
    (tmp_path / "questions.csv").write_text(CSV)
    assert main(["convert", str(tmp_path / "questions.csv")]) == 0
    assert "2 questions, all with gold answers (3 in all)" in capsys.readouterr().out
    assert [path.name for path in tmp_path.iterdir()] == ["questions.csv"]
