"""The campaign's own instruments: a case that hangs, dies or fills the memory is seen as such."""

import os
import random
import signal
import time

import pytest
from campaign import REFUSED, RIGHT, run_campaign
from isolation import assert_accepted, assert_refused, call, run_tool
from mutations import damage_bytes, damage_json

from medmask.errors import InputError
from medmask.utils.worker_pool import map_in_processes


def fail(error):
    raise error


def test_result_and_output_come_back():
    outcome = call(lambda: print("words") or [1, 2])
    assert assert_accepted(outcome) == [1, 2]
    assert outcome.output == "words\n"


def test_input_error_is_a_refusal_and_any_other_error_is_none():
    assert_refused(call(fail, InputError("file x is empty")), "file x")
    outcome = call(fail, ValueError("fault"))
    assert not outcome.is_refused
    assert not outcome.is_accepted
    assert "ValueError: fault" in outcome.error


def test_hang_is_ended():
    outcome = call(time.sleep, 60, seconds=0.3)
    assert outcome.status is None
    assert outcome.seconds < 10


def test_death_is_seen():
    assert call(lambda: os.kill(os.getpid(), signal.SIGSEGV)).status == -signal.SIGSEGV


def work_in_processes():
    return list(map_in_processes(abs, [-3, 4], workers=2))


def test_workers_start_in_a_child_of_a_process_with_workers():
    assert work_in_processes() == [3, 4]
    assert assert_accepted(call(work_in_processes, seconds=300)) == [3, 4]


def test_memory_is_limited():
    outcome = call(lambda: len(bytearray(2**30)), memory_mib=200)
    assert "MemoryError" in outcome.error


def test_tool_ends_with_its_status():
    assert_accepted(run_tool("evaluate_froc.py", "--help"))
    outcome = run_tool("evaluate_froc.py", "--annotations", "none.json", "--detections", "x.json")
    assert_refused(outcome, "none.json")


def test_damage_is_a_function_of_the_seed():
    content = bytes(range(256)) * 4
    for seed in range(50):
        first, second = (damage_bytes(content, random.Random(seed)) for _ in range(2))
        assert first == second
    document = {"images": [{"id": 1, "name": "a"}], "annotations": []}
    changed = [damage_json(document, random.Random(seed)) for seed in range(50)]
    assert repr(changed) == repr([damage_json(document, random.Random(s)) for s in range(50)])
    assert document == {"images": [{"id": 1, "name": "a"}], "annotations": []}
    assert sum(damaged != document for damaged in changed) > 40


def test_campaign_counts_verdicts_and_names_the_seeds_that_fail():
    def case(random_state):
        return random_state.choice((RIGHT, REFUSED))

    assert run_campaign(range(20), case).total() == 20

    def failing(random_state):
        assert random_state.random() > 0.5, "a reason"
        return RIGHT

    with pytest.raises(AssertionError, match=r"of 20 cases failed:\nseed \d+: a reason"):
        run_campaign(range(20), failing)
