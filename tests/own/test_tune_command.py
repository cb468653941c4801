"""``tunebench tune``, as a user with her own network and a folder of PNGs."""

import json
import shutil

import numpy as np
import onnxruntime
import pytest
import torch
from conftest import run_command
from PIL import Image
from safetensors.torch import load_file
from user import ORDER, write_pngs

CHEAP = ("--tuner", "logit-bias", "--tuner", "smvt-sj-exact", "--budget", "1")


@pytest.fixture(scope="module")
def done(home, tmp_path_factory):
    """The folder and the output of a whole command."""
    out = tmp_path_factory.mktemp("tune") / "out"
    before = {path: path.read_bytes() for path in home.folder.rglob("*") if path.is_file()}
    found = run_command(*home.arguments("--export", "onnx", "--export", "torch", "-o", out, *CHEAP))
    assert found.code == 0, found.err
    assert {path: path.read_bytes() for path in before} == before
    return out, found.out


def logits_of(home, model):
    """Logits on the held-out digits."""
    with torch.no_grad():
        return model(torch.from_numpy(home.held[0]).float() / 255)


def test_the_files_are_her_network_with_a_better_class(home, done):
    """state_dict loads into her own class; TA is higher, the OA loss within the budget, as the report says."""
    out, _ = done
    report = json.loads((out / "report.json").read_text())
    model = home.module.Net()
    model.load_state_dict(load_file(out / "tuned.safetensors"))
    y = torch.from_numpy(home.held[1])
    mine = y == ORDER.index("eight")
    for name, network in (("original", home.model), ("tuned", model.eval())):
        right = logits_of(home, network).argmax(1) == y
        assert report[name]["ta"] == pytest.approx(float(right[mine].double().mean()), abs=1e-12)
        assert report[name]["oa"] == pytest.approx(float(right.double().mean()), abs=1e-12)
    assert report["tuned"]["ta"] > report["original"]["ta"]
    assert report["tuned"]["oa"] >= report["original"]["oa"] - 0.01
    assert (out / "tuned.safetensors").stat().st_mode & 0o777 == (out / "report.json").stat().st_mode & 0o777


def test_exports_agree_with_torch(home, done):
    """ONNX and torch.export files give the same logits to 1e-4 and the same classes, for another batch size too."""
    out, _ = done
    model = home.module.Net()
    model.load_state_dict(load_file(out / "tuned.safetensors"))
    expected = logits_of(home, model.eval())
    x = torch.from_numpy(home.held[0]).float() / 255
    session = onnxruntime.InferenceSession(str(out / "tuned.onnx"))
    program = torch.export.load(out / "tuned.pt2").module()
    for found in (torch.from_numpy(session.run(None, {"input": x.numpy()})[0]), program(x)):
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
        assert torch.equal(found.argmax(1), expected.argmax(1))


def test_what_is_printed_and_reported(home, done):
    """The original is measured first, with what the class is taken for; report.json has the keys of the contract."""
    out, text = done
    assert text.index("\nbefore ") < text.index("TA gain") < text.index("\nchosen ")
    assert "taken for" in text
    report = json.loads((out / "report.json").read_text())
    assert {"target", "original", "tuned", "tuner", "params", "budget", "certificate", "candidates"} <= report.keys()
    assert report["target"] == "eight"
    assert {line["tuner"] for line in report["candidates"]} == {"original", "logit-bias", "smvt-sj-exact"}
    one = report["hardest"][0]
    with torch.no_grad():
        logits = home.model(torch.tensor(np.asarray(Image.open(one["path"])), dtype=torch.float32)[None, None] / 255)[0]
    assert ORDER[int(logits.argmax())] == one["taken_for"] != "eight"
    assert one["margin"] == pytest.approx(float(logits.max() - logits[ORDER.index("eight")]), abs=1e-4)
    page = (out / "report.md").read_text()
    assert one["path"] in page
    assert page.startswith("# eight: ")
    assert report["why"] in page
    assert report["why"] in (out / "index.html").read_text()


def test_the_report_says_who_pays(home, done):
    """The change of every class is that of the files' network; what it costs, its time and the searches are there."""
    out, _ = done
    report = json.loads((out / "report.json").read_text())
    chosen = next(line for line in report["candidates"] if line["tuner"] == report["tuner"])
    model = home.module.Net()
    model.load_state_dict(load_file(out / "tuned.safetensors"))
    y = torch.from_numpy(home.held[1])
    before, after = (logits_of(home, network).argmax(1) == y for network in (home.model, model.eval()))
    for number, name in enumerate(ORDER):
        change = float(after[y == number].double().mean() - before[y == number].double().mean())
        assert chosen["classes"][name] == pytest.approx(change, abs=1e-9)
    assert chosen["search"][0] == 0
    assert chosen["search"] == sorted(chosen["search"])
    assert chosen["cost"]["params"] >= sum(int((p != 0).sum()) for p in home.model.parameters())
    assert report["latency_ratio"] == chosen["latency_ratio"]
    assert all(line["latency_ratio"] > 0 for line in report["candidates"])
    page = (out / "index.html").read_text()
    assert "Who pays" in page
    assert f"{chosen['cost']['params']:,} parameters" in page


def test_a_second_call_reuses_the_cells(home, done, tmp_path):
    """The same command goes on where it was; other weights under the same name are noticed."""
    out, _ = done
    copied = tmp_path / "out"
    shutil.copytree(out, copied)
    stamps = {path: path.stat().st_mtime_ns for path in (copied / "cells").rglob("*.json")}
    assert run_command(*home.arguments("-o", copied, *CHEAP)).code == 0
    assert {path: path.stat().st_mtime_ns for path in stamps} == stamps
    other = tmp_path / "other.pt"
    state = {key: value * 1.01 for key, value in home.model.state_dict().items()}
    torch.save({"state_dict": {f"module.{key}": value for key, value in state.items()}}, other)
    arguments = [other if str(part).endswith("net.pt") else part for part in home.arguments("-o", copied, *CHEAP)]
    assert run_command(*arguments).code == 0
    assert all(path.stat().st_mtime_ns != stamp for path, stamp in stamps.items())


def test_one_part_is_shared_and_said(home, tmp_path):
    """Without a training part tuners get half of the samples, and the first line says so."""
    found = run_command(*home.arguments("-o", tmp_path / "out", "--tuner", "logit-bias", data="digits/val"))
    assert found.code == 0, found.err
    assert "one part only: tuners fit on 44" in found.out.splitlines()[0]


@pytest.mark.parametrize(
    ("more", "change", "said"),
    [
        (("--target", "eigth"), {}, "unknown class 'eigth'; did you mean eight"),
        (("--tuner", "logit-bais"), {}, "did you mean logit-bias"),
        ((), {"name": "Nte"}, "did you mean Net"),
        ((), {"name": "Colours"}, "needs 3 input channels, these are grey images with 1"),
        ((), {"name": "Large"}, "does not take inputs of 1 x 8 x 8"),
        ((), {"name": "Eleven"}, "returns (2, 11) for two samples of 10 classes"),
        ((), {"name": "NoBias"}, "comes with random weights; name the trained ones with --weights"),
        (("--confidence", "1"), {}, "confidence is 1"),
        (("--recall", "1.5"), {}, "recall is 1.5"),
        (("--budget", "-1"), {}, "budget is -1"),
        (("--mean", "0.5"), {}, "--mean and --std go together"),
        (("--mean", "0.5", "--std", "0"), {}, "--std has to be above 0"),
        (("--mean", "0.1", "--mean", "0.2", "--std", "1", "--std", "1"), {}, "--mean has 2 numbers"),
        (("--transform", "net.py"), {}, "write FILE.py:NAME"),
        (("--transform", "HOME/net.py:no_tensor"), {}, "it has to return a tensor"),
        (("--weights", "HOME/none.pt"), {}, "No such file"),
        (("--weights", "HOME/net.py"), {}, "give a state dict as .safetensors, .pt or .pth"),
        (("--weights", "HOME/other.pt"), {}, "it lacks c1.weight"),
        (("--weights", "HOME/whole.pt"), {}, "save model.state_dict(), not the model"),
        (("--weights", "HOME/nan.pt"), {}, "gives NaN or infinite logits"),
        (("--weights", "HOME/net.pt"), {"name": "Daylight"}, "gives NaN or infinite logits"),
        (("--data", "HOME/few"), {}, "class 'eight' has 3 samples to choose on; give at least 5"),
        (("--data", "HOME/one"), {}, "at least 2"),
        (("--data", "HOME/broken"), {}, "is no readable image"),
        (("--data", "HOME/nowhere"), {}, "unknown data set"),
    ],
)
def test_bad_input(home, tmp_path, more, change, said):
    """One line that says what and what to do, exit code 2, and nothing is written."""
    torch.save(torch.nn.Linear(3, 2).state_dict(), home.folder / "other.pt")
    torch.save(home.model, home.folder / "whole.pt")
    torch.save(home.model.state_dict() | {"f1.bias": torch.full((32,), torch.nan)}, home.folder / "nan.pt")
    x, y = home.held
    eight = ORDER.index("eight")
    keep = np.concatenate([np.flatnonzero(y != eight), np.flatnonzero(y == eight)[:3]])
    if not (home.folder / "few").exists():
        write_pngs(home.folder / "few" / "train", *home.fit)
        write_pngs(home.folder / "few" / "val", x[keep], y[keep])
        write_pngs(home.folder / "one", x[y == eight], y[y == eight])
        write_pngs(home.folder / "broken", x[:100], y[:100])
        next((home.folder / "broken" / "two").glob("*.png")).write_bytes(b"no image")
    given = [str(part).replace("HOME", str(home.folder)) for part in more]
    found = run_command(*home.arguments("-o", tmp_path / "out", *given, **change))
    assert found.code == 2
    assert said in found.err
    assert len(found.err.strip().splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_grey_images_for_a_colour_network_through_a_transform(home, tmp_path):
    """Her own transform makes the inputs; the network is then tuned on them."""
    found = run_command(
        *home.arguments("-o", tmp_path / "out", "--transform", f"{home.folder / 'net.py'}:halves", *CHEAP)
    )
    assert found.code == 0, found.err
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    x = torch.from_numpy(home.held[0]).float() / 255 - 0.5
    with torch.no_grad():
        right = home.model(x).argmax(1) == torch.from_numpy(home.held[1])
    assert report["original"]["oa"] == pytest.approx(float(right.double().mean()), abs=1e-12)
    assert Image.open(next((home.folder / "digits" / "val" / "two").glob("*.png"))).mode == "L"


def test_a_network_without_bias(home, tmp_path):
    """A bias that there is no place for comes home in a whole program; her other numbers are as they were."""
    state = {key: value for key, value in home.model.state_dict().items() if key != "f2.bias"}
    torch.save(state, home.folder / "no-bias.pt")
    weights = "--weights", home.folder / "no-bias.pt"
    found = run_command(*home.arguments(*weights, "-o", tmp_path / "out", *CHEAP[2:], name="NoBias"))
    assert found.code == 0, found.err
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["tuned"]["ta"] > report["original"]["ta"]
    program = torch.export.load(tmp_path / "out" / "tuned.pt2").module()
    right = logits_of(home, program).argmax(1) == torch.from_numpy(home.held[1])
    assert report["tuned"]["oa"] == pytest.approx(float(right.double().mean()), abs=1e-12)


def test_results_never_replace_the_weights(home, tmp_path):
    """A folder whose tuned.* is the file that is read is refused."""
    weights = tmp_path / "tuned.pt"
    shutil.copy(home.folder / "net.pt", weights)
    arguments = [weights if str(part).endswith("net.pt") else part for part in home.arguments("-o", tmp_path)]
    found = run_command(*arguments)
    assert found.code == 2
    assert "would replace" in found.err


def test_an_original_that_this_machine_could_not_score_is_one_line(home, tmp_path, monkeypatch):
    """Its server of workers was killed again and again, say: nothing is known, and the next call goes on."""
    monkeypatch.setattr("tunebench.own.comparison.run_plan", lambda *args: {"not done": 3})
    found = run_command(*home.arguments("-o", tmp_path / "out", *CHEAP))
    assert found.code == 2
    assert found.err == (
        "tunebench: this machine could not score the original; give the same command again: what is done is kept\n"
    )
