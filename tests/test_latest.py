"""The worker beside the window: newest request first, one answer a request, errors heard, and an end that waits for nothing new."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from time import monotonic

import pytest

from homunculus.viewer.latest import Latest

WAIT_S = 20.0


class Work:
    """Doubles numbers, each when it may; fails for those below 0."""

    def __init__(self) -> None:
        self.begun = threading.Semaphore(0)
        self.may_answer = threading.Semaphore(0)
        self.asked: list[int] = []
        self.threads: set[str] = set()

    def __call__(self, number: int) -> int:
        self.asked.append(number)
        self.threads.add(threading.current_thread().name)
        self.begun.release()
        assert self.may_answer.acquire(timeout=WAIT_S)
        if number < 0:
            raise ValueError(f"{number} is below 0")
        return 2 * number


@pytest.fixture
def work() -> Work:
    return Work()


@pytest.fixture
def latest(work: Work) -> Iterator[Latest[int, int]]:
    worker = Latest(work, "test-latest")
    yield worker
    for _ in range(9):
        work.may_answer.release()
    worker.close()
    assert "test-latest" not in [thread.name for thread in threading.enumerate()]


def test_the_answer_comes_once_and_with_its_request(work: Work, latest: Latest[int, int]) -> None:
    assert not latest.busy
    assert latest.poll() is None
    assert latest.poll(WAIT_S) is None, "nothing is being made, so there is nothing to wait for"
    latest.ask(3)
    assert latest.busy
    assert latest.poll() is None
    work.may_answer.release()
    assert latest.poll(WAIT_S) == (3, 6)
    assert (latest.busy, latest.ready, latest.poll()) == (False, False, None)
    assert work.threads == {"test-latest"}


def test_of_those_asked_meanwhile_the_newest_is_answered(work: Work, latest: Latest[int, int]) -> None:
    latest.ask(1)
    assert work.begun.acquire(timeout=WAIT_S)
    for number in (2, 3, 4):
        latest.ask(number)
    work.may_answer.release()
    assert latest.poll(WAIT_S) == (1, 2)
    assert latest.busy
    work.may_answer.release()
    assert latest.poll(WAIT_S) == (4, 8)
    assert work.asked == [1, 4]


def test_an_answer_that_nobody_took_gives_way_to_a_newer_one(work: Work, latest: Latest[int, int]) -> None:
    for number in (1, 2):
        latest.ask(number)
        work.may_answer.release()
        end = monotonic() + WAIT_S
        while latest.busy:
            assert monotonic() < end
    assert latest.ready
    assert latest.poll() == (2, 4)
    assert latest.poll() is None


def test_an_error_is_an_answer_and_the_next_request_has_its_own(work: Work, latest: Latest[int, int]) -> None:
    latest.ask(-1)
    work.may_answer.release()
    heard = latest.poll(WAIT_S)
    assert heard is not None
    assert heard[0] == -1
    assert isinstance(heard[1], ValueError)
    assert str(heard[1]) == "-1 is below 0"
    latest.ask(5)
    work.may_answer.release()
    assert latest.poll(WAIT_S) == (5, 10)


def test_closing_waits_as_long_as_it_may_and_begins_nothing_more(work: Work, latest: Latest[int, int]) -> None:
    latest.ask(1)
    assert work.begun.acquire(timeout=WAIT_S)
    latest.ask(2)
    start = monotonic()
    latest.close(wait_s=0)
    assert monotonic() - start < WAIT_S / 2
    work.may_answer.release()
    latest.close(WAIT_S)
    assert work.asked == [1]


def test_closing_what_was_never_asked_is_nothing() -> None:
    idle = Latest(Work(), "test-idle")
    idle.close()
    idle.close()
