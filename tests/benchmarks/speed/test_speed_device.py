"""The machine's name and memory."""

import time

import torch

from benchmarks.speed import device


def test_the_machine_is_named():
    machine = device.Machine.of("cpu")
    assert machine.name and machine.threads == torch.get_num_threads() and machine.torch == torch.__version__


def test_a_processor_without_a_name_in_proc_is_named_by_python(monkeypatch):
    monkeypatch.setattr(device, "Path", lambda _: (_ for _ in ()).throw(OSError("there is no such file")))
    monkeypatch.setattr(device.platform, "processor", lambda: "")
    monkeypatch.setattr(device.platform, "machine", lambda: "arm64")
    assert device.processor() == "arm64"


def test_the_clock_of_one_thread_does_not_run_while_the_process_waits(monkeypatch):
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    alone = device.clock("cpu")
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    wall = device.clock("cpu")
    started = alone(), wall()
    time.sleep(0.2)
    assert alone() - started[0] < 0.1 < 0.2 <= wall() - started[1]


def test_memory_is_what_is_taken_beyond_the_start_and_given_back():
    held = torch.ones(2**21)  # 8 MiB that were there before
    with device.peak_memory("cpu") as little:
        torch.ones(2**18).sum()
    with device.peak_memory("cpu") as much:
        torch.ones(2**25).sum()  # 128 MiB, gone again
    assert held.sum() == 2**21
    assert little.mib < 60 < 120 < much.mib < 180


def test_where_the_system_does_not_tell_memory_is_unknown(monkeypatch, tmp_path):
    monkeypatch.setattr(device, "CLEAR", tmp_path / "no folder" / "clear_refs")
    with device.peak_memory("cpu") as peak:
        torch.ones(2**10).sum()
    assert peak.mib is None


class FakeCard:
    """What the benchmark asks of torch.cuda, in order."""

    def __init__(self, held=0, most=0):
        self.asked, self.held, self.most = [], held, most

    def synchronize(self):
        self.asked.append("synchronize")

    def reset_peak_memory_stats(self):
        self.asked.append("reset")

    def memory_allocated(self):
        self.asked.append("held")
        return self.held

    def max_memory_allocated(self):
        self.asked.append("most")
        return self.most

    def get_device_name(self):
        return "a card"


def test_the_clock_of_a_card_waits_for_what_it_still_has_to_do(monkeypatch):
    card = FakeCard()
    monkeypatch.setattr(device.torch, "cuda", card)
    monkeypatch.setattr(device.time, "perf_counter", lambda: card.asked.append("clock") or 3.0)
    assert device.clock("cuda")() == 3.0 and card.asked == ["synchronize", "clock"]


def test_memory_of_a_card_is_its_own_account(monkeypatch):
    card = FakeCard(held=5 * device.MIB, most=12 * device.MIB)
    monkeypatch.setattr(device.torch, "cuda", card)
    with device.peak_memory("cuda") as peak:
        card.asked.append("work")
    assert peak.mib == 7.0
    assert card.asked == ["synchronize", "reset", "held", "work", "synchronize", "most"]


def test_a_card_is_named(monkeypatch):
    monkeypatch.setattr(device.torch, "cuda", FakeCard())
    machine = device.Machine.of("cuda")
    assert (machine.device, machine.name) == ("cuda", "a card")
