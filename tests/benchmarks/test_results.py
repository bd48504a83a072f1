"""From cases to rows, files and comparisons."""

import argparse
import json

import pytest
import torch

from benchmarks import __main__ as command
from benchmarks.harness import baselines, entry, tables
from benchmarks.harness.baselines import machine_key, record, save, stored_medians
from benchmarks.harness.cases import Case, Result, Work, measured
from benchmarks.harness.precision import built_in, relative_error
from benchmarks.harness.timing import Patience, Timing

QUICK = Patience(0.0, 1, warm_up=0.0)
RESULT = Result("a", Timing(0.002, 0.001, 0.004, 5), error=1.5e-7, floor=0.001, memory=2**21, amount=10.0)


def one(**parts):
    return next(measured([Case("row", lambda: Work(**parts))], QUICK))


def test_a_case_gives_its_error_memory_and_parts():
    tensors = [torch.tensor([3.0, 4.0])]
    found = one(
        call=lambda: None, answer=lambda: [torch.tensor([3.0, 4.5])], expected=lambda: tensors, amount=7.0,
        parts=lambda: {"half": 0.5}, memory=lambda: 12,
    )  # fmt: skip
    assert (found.error, found.memory, found.amount, found.parts) == (0.1, 12, 7.0, {"half": 0.5})
    assert found.timing.repeats == 1


@pytest.mark.parametrize("error", [ImportError("no compiler"), RuntimeError("not for\nthis type")])
def test_a_case_that_cannot_run_says_why_and_the_next_one_runs(error):
    def failing():
        raise error

    first, second = measured([Case("a", failing), Case("b", lambda: Work(lambda: None))], QUICK)
    assert first.skipped == f"{type(error).__name__}: {' '.join(str(error).split())}"
    assert second.skipped is None


def test_a_mistake_in_a_benchmark_is_not_skipped():
    with pytest.raises(TypeError):
        one(call=lambda: 1 + "one")


def test_relative_error_is_the_largest_over_tensors():
    truth = torch.tensor([3.0, 4.0], dtype=torch.float64)
    assert relative_error([torch.tensor([3.0, 4.0]), torch.tensor([3.0, 5.0])], [truth, truth]) == pytest.approx(0.2)


def test_a_module_built_in_double_has_double_constants():
    class Third(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.third = torch.nn.Parameter(torch.zeros(1))
            self.register_buffer("constant", torch.tensor(1 / 3), persistent=False)

    module = built_in(torch.float64, Third, {"third": torch.ones(1)})
    assert module.constant.item() == 1 / 3 and module.third.dtype is torch.float64 and module.third.item() == 1
    assert torch.get_default_dtype() is torch.float32


def test_rows_are_markdown():
    columns = [tables.TIME, tables.RANGE, tables.ERROR, tables.FLOOR, tables.MEMORY, tables.RATE]
    columns += [tables.against("÷ b", {"b": 0.004}, "b"), tables.against("÷ stored", {})]
    cells = ["a", "2 ms", "1 ms – 4 ms (5)", "1.5e-07", "2.0", "2 MiB", "5e+03", "0.50", "–"]
    assert tables.row(RESULT, columns) == f"| {' | '.join(cells)} |"
    skipped = tables.row(Result("c", skipped="no compiler"), columns)
    assert skipped.startswith("| c | skipped (no compiler) |")
    assert {text.count("|") for text in (skipped, *tables.header(columns).splitlines())} == {len(cells) + 1}


@pytest.mark.parametrize(("seconds", "text"), [(12.34, "12.3 s"), (0.0123, "12.3 ms"), (4.5e-6, "4.5 µs")])
def test_times_have_a_unit_that_suits_them(seconds, text):
    assert tables.time_text(seconds) == text


def test_a_baseline_comes_back_from_its_file(tmp_path):
    path = save("layer", record([RESULT, Result("b", skipped="no compiler")], rates={"float32": 1.0}), tmp_path)
    assert path == tmp_path / f"{machine_key()}.json"
    assert stored_medians("layer", tmp_path) == {"a": 0.002}
    assert stored_medians("other", tmp_path) == {}
    stored = json.loads(path.read_text())["results"]["layer"]
    assert stored["rates"] == {"float32": 1.0} and stored["rows"]["b"] == {"skipped": "no compiler"}
    save("other", record([]), tmp_path)
    save("layer", record([Result("a", Timing(1.0, 1.0, 1.0, 1))]), tmp_path)
    assert stored_medians("layer", tmp_path) == {"a": 1.0}


def test_a_machines_key_is_a_file_name():
    assert set(machine_key()) <= set("abcdefghijklmnopqrstuvwxyz0123456789-")
    assert baselines.machine()["cores"] >= 1


def test_a_run_prints_ratios_and_what_was_stored(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(entry, "stored_medians", lambda title: stored_medians(title, tmp_path))
    monkeypatch.setattr(entry, "save", lambda title, results: save(title, results, tmp_path))
    cases = [Case("rival", lambda: Work(lambda: None)), Case("ours", lambda: Work(lambda: None))]
    arguments = argparse.Namespace(save=True, json=tmp_path / "results.json")
    results = entry.show("nothing", cases, [], rival="rival", patience=QUICK)
    assert "÷ rival |\n" in capsys.readouterr().out
    entry.store(arguments, {"nothing": results})
    assert set(json.loads(arguments.json.read_text())["nothing"]["rows"]) == {"rival", "ours"}
    entry.show("nothing", cases, [], rival="rival", patience=QUICK)
    assert "÷ stored |" in capsys.readouterr().out


def test_options_go_to_the_benchmark_that_is_named(monkeypatch):
    given = []
    module = argparse.Namespace(main=lambda *options: given.append(options))
    monkeypatch.setattr(command.importlib, "import_module", lambda name: module)
    assert command.main(["layer", "unet"]) == 0
    assert command.main(["layer", "--threads", "1"]) == 0
    assert given == [(), (), (["--threads", "1"],)]
    assert command.main(["no such"]) == 2


def test_every_performance_benchmark_is_listed():
    assert {"layer", "unet", "step", "inference", "scaling"} <= set(command.available())
