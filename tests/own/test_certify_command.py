"""``tunebench certify``: labelled data, the round trip of a CSV, and what is refused."""

import csv
import json
import re

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from user import ORDER

from tunebench import UsageError
from tunebench.own import answers
from tunebench.own.promise import disputed, promise, told
from tunebench.selection.certificate import certifies, loss_bound


@pytest.fixture(scope="module")
def files(home, tmp_path_factory):
    """The original, a network that raises class 0 a little, one that ruins it, and flat unlabelled images."""
    folder = tmp_path_factory.mktemp("certify")
    state = home.model.state_dict()
    for name, bias in (("same", 0.0), ("mild", 0.5), ("bold", 50.0)):
        tuned = {key: value.clone() for key, value in state.items()}
        tuned["f2.bias"][0] += bias
        torch.save(tuned, folder / f"{name}.pt")
    flat = folder / "flat"
    flat.mkdir()
    for k, path in enumerate(sorted((home.folder / "digits" / "val").rglob("*.png"))):
        (flat / f"{k:04}.png").write_bytes(path.read_bytes())
    return folder


def arguments(home, files, *tuned):
    """The start of a command."""
    networks = [part for name in tuned for part in ("--tuned", files / f"{name}.pt")]
    return "certify", "--model", f"{home.folder / 'net.py'}:Net", "--original", files / "same.pt", *networks


def counts(home, bias):
    """Lost and gained on the held-out digits, by hand."""
    x, y = torch.from_numpy(home.held[0]).float() / 255, torch.from_numpy(home.held[1])
    with torch.no_grad():
        logits = home.model(x)
    before = logits.argmax(1) == y
    logits[:, 0] += bias
    after = logits.argmax(1) == y
    return int((before & ~after).sum()), int((~before & after).sum()), len(y)


def test_labelled_data_needs_no_csv(home, files, tunebench):
    """The sentence has the counts of the two networks; a ruined one is not certified and exits with 1."""
    data = ("--data", home.folder / "digits" / "val", "--budget", "2")
    lost, gained, n = counts(home, 0.5)
    done = tunebench(*arguments(home, files, "mild"), *data)
    assert done.code == (0 if certifies(lost, gained, n, 0.02, 0.9) else 1), done.err
    assert f"({n} samples, {lost} lost, {gained} gained" in done.out
    done = tunebench(*arguments(home, files, "bold"), *data)
    assert done.code == 1
    assert done.out.startswith("not certified at 2 points")


def test_a_path_ends_where_it_fails(home, files, tunebench):
    """Of several networks the furthest before the first failure is named."""
    data = ("--data", home.folder / "digits" / "val", "--budget", "2")
    done = tunebench(*arguments(home, files, "same", "bold", "same"), *data)
    assert done.code == 0, done.err
    assert done.out.splitlines()[1] == f"furthest certified: {files / 'same.pt'}"


def test_the_candidates_of_a_tune_run_are_a_path(home, tunebench, tmp_path):
    """`tune --candidates` writes one network each, the one with the best OA first; certify walks them in that order."""
    tuners = [part for name in ("logit-bias", "smvt-sj-exact", "target-scale") for part in ("--tuner", name)]
    out = tmp_path / "out"
    done = tunebench(*home.arguments("-o", out, "--candidates", "--budget", "2", *tuners))
    assert done.code == 0, done.err
    found = sorted(path.parent.name for path in (out / "candidates").glob("*/tuned.safetensors"))
    lines = [
        line for line in json.loads((out / "report.json").read_text())["candidates"] if line["tuner"] != "original"
    ]
    names = [line["tuner"] for line in sorted(lines, key=lambda line: (-line["oa"], line["tuner"]))]
    assert found == [f"{number:02}-{name}" for number, name in enumerate(names, 1)]
    start = ("certify", "--model", f"{home.folder / 'net.py'}:Net", "--original", home.folder / "net.pt")
    data = ("--data", home.folder / "digits" / "val", "--budget", "2")
    whole = tunebench(*start, "--tuned", out / "candidates", *data)
    each = [part for name in found for part in ("--tuned", out / "candidates" / name / "tuned.safetensors")]
    assert (whole.code, whole.out) == tunebench(*start, *each, *data)[:2]
    assert whole.code in (0, 1), whole.err
    mine = out / "candidates" / "notes.txt"
    mine.write_text("mine")
    assert tunebench(*home.arguments("-o", out, "--candidates", "--budget", "2", *tuners[:2])).code == 0
    assert mine.read_text() == "mine"
    assert [path.parent.name for path in (out / "candidates").glob("*/tuned.*")] == ["01-logit-bias"]
    empty = tunebench(*start, "--tuned", home.folder, *data)
    assert (empty.code, "holds no candidates" in empty.err, empty.out) == (2, True, "")


def filled(files, home, edit=lambda rows: rows):
    """The CSV that --ask wrote with true labels, after ``edit``."""
    truth = [path.parent.name for path in sorted((home.folder / "digits" / "val").rglob("*.png"))]
    with (files / "ask.csv").open(newline="") as text:
        rows = [row | {"label": truth[int(row["path"][:4])]} for row in csv.DictReader(text)]
    with (files / "filled.csv").open("w", newline="") as text:
        writer = csv.DictWriter(text, ["path", "original", "tuned", "label"])
        writer.writeheader()
        writer.writerows(edit(rows))
    return files / "filled.csv"


@pytest.fixture
def asked(home, files, tunebench):
    """The start of a command whose CSV has been written."""
    start = (*arguments(home, files, "mild"), "--unlabelled", files / "flat", "--classes", ",".join(ORDER))
    start = (*start, "--budget", "2")
    done = tunebench(*start, "--ask", files / "ask.csv")
    assert done.code == 0, done.err
    return start


def test_only_flipped_samples_need_labels(home, files, tunebench, asked):
    """A few lines are asked for; filled in, they certify exactly what all labels do."""
    labelled = tunebench(*arguments(home, files, "mild"), "--data", home.folder / "digits" / "val", "--budget", "2")
    lines = (files / "ask.csv").read_text().splitlines()
    assert lines[0] == "path,original,tuned,label"
    assert 0 < len(lines) - 1 < 90
    done = tunebench(*asked, "--answers", filled(files, home))
    assert (done.code, done.out) == (labelled.code, labelled.out), done.err


@pytest.mark.parametrize(
    ("edit", "text"),
    [
        (lambda rows: rows[1:], "lacks 1 of"),
        (lambda rows: [*rows, rows[0]], "stands there twice"),
        (lambda rows: [rows[0] | {"path": "other.png"}, *rows[1:]], "was not asked for"),
        (lambda rows: [rows[0] | {"label": "dog"}, *rows[1:]], "'dog' is no class"),
        (lambda rows: [rows[0] | {"label": ""}, *rows[1:]], "has no label"),
    ],
)
def test_answers_that_do_not_fit_are_refused(home, files, tunebench, asked, edit, text):
    """Missing, double, foreign, unlabelled and unknown rows: one line, exit 2, nothing certified."""
    done = tunebench(*asked, "--answers", filled(files, home, edit))
    assert done.code == 2
    assert text in done.err
    assert done.err.count("\n") == 1
    assert "certified" not in done.out


def test_names_in_the_table_are_inert_and_come_back(tmp_path):
    """What a spreadsheet would compute or a terminal obey stands there harmless, and is known again when filled in."""
    paths, names = ["=HYPERLINK(1).png", "a\x1b[2J.png", "plain.png"], ["@SUM(1)", "cat"]
    answers.ask(tmp_path / "ask.csv", paths, [np.array([0, 1, 0]), np.array([1, 0, 1])], [0, 1, 2], names)
    text = (tmp_path / "ask.csv").read_text()
    assert "\x1b" not in text
    lines = list(csv.reader(text.splitlines()))
    assert lines[1] == ["'=HYPERLINK(1).png", "'@SUM(1)", "cat", ""]
    for label in ("@SUM(1)", "'@SUM(1)"):
        filled = "\n".join(",".join([*line[:-1], label if line[0] != "path" else line[-1]]) for line in lines)
        (tmp_path / "filled.csv").write_text(filled)
        assert answers.answered(tmp_path / "filled.csv", paths, [0, 1, 2], names).tolist() == [0, 0, 0]


TAKEN = {"one that is filled in": "path,label\na.png,cat\n", "one of somebody else's": "mine\n"}


@pytest.mark.parametrize("text", [*TAKEN.values(), "path,original,tuned,label\na.png,x,y,\n"])
def test_no_table_with_labels_is_written_over(home, files, tunebench, tmp_path, text):
    """Only the command's own table, still without a label, is made anew."""
    free = text not in TAKEN.values()
    (tmp_path / "ask.csv").write_text(text)
    start = (*arguments(home, files, "mild"), "--unlabelled", files / "flat", "--classes", ",".join(ORDER))
    done = tunebench(*start, "--budget", "2", "--ask", tmp_path / "ask.csv")
    assert done.code == (0 if free else 2)
    assert ((tmp_path / "ask.csv").read_text() == text) != free
    assert free or "name another file" in done.err


@pytest.mark.parametrize(
    ("flags", "text"),
    [
        (("--budget", "0.1"), "it takes at least 2,861"),
        (("--confidence", "0.5"), "confidence is 0.5"),
        (("--confidence", "95"), "confidence is 95"),
        (("--budget", "-1"), "budget"),
        (("--ask", "x.csv"), "--unlabelled DIR goes with"),
    ],
)
def test_bad_input_certifies_nothing(home, files, tunebench, flags, text):
    """Too few samples with the least number that would do, and values out of range: exit 2."""
    done = tunebench(*arguments(home, files, "mild"), "--data", home.folder / "digits" / "val", *flags)
    assert done.code == 2
    assert text in done.err
    assert not done.out


def test_the_answer_is_not_rounded_in_its_favour():
    """99.5 % is not called 100, and the least budget that would do is not below what was refused."""
    labels, networks = np.zeros((2, 3000), dtype=np.int64)
    sure = promise(networks, [networks], labels, 0.005, 0.995)
    assert "at most 0.5 points on new data like these, at 99.5% confidence" in told(sure)
    tuned = networks.copy()
    tuned[:6] = 1
    budget = loss_bound(6, 0, 3000, 0.995) - 1e-7
    refused = told(promise(networks, [tuned], labels, budget, 0.995))
    assert refused.startswith("not certified")
    assert float(re.search(r"least budget is ([\d.]+)", refused)[1]) > 100 * budget
    with pytest.raises(UsageError, match=r"of 0\.5 points at 99\.5% confidence"):
        promise(networks[:9], [], labels[:9], 0.005, 0.995)


def test_a_program_needs_no_code(home, files, tunebench):
    """A torch.export file is a whole network; numbers without code are refused."""
    batch = torch.export.Dim("batch", min=1)
    x = torch.zeros(2, 1, 8, 8)
    program = torch.export.export(home.model, (x,), dynamic_shapes=({0: batch},))
    torch.export.save(program, files / "net.pt2")
    data = ("--data", home.folder / "digits" / "val", "--budget", "2")
    done = tunebench("certify", "--original", files / "net.pt2", "--tuned", files / "net.pt2", *data)
    assert done.code == 0, done.err
    assert "0 lost, 0 gained" in done.out
    done = tunebench("certify", "--original", files / "net.pt2", "--tuned", files / "mild.pt", *data)
    assert done.code == 2
    assert "--model FILE.py:NAME" in done.err


@given(st.integers(0, 10_000), st.floats(0.0, 0.05))
def test_labels_of_undisputed_samples_do_not_matter(seed, budget):
    """Whatever stands where all networks agree, the promise is the same."""
    rng = np.random.default_rng(seed)
    labels, original = rng.integers(0, 3, (2, 5000))
    path = [np.where(rng.random(5000) < share, rng.integers(0, 3, 5000), original) for share in (0.001, 0.01)]
    hidden = np.where(disputed(original, path), labels, -1)
    try:
        full = promise(original, path, labels, budget, 0.9)
    except UsageError:
        with pytest.raises(UsageError):
            promise(original, path, hidden, budget, 0.9)
    else:
        assert promise(original, path, hidden, budget, 0.9) == full
