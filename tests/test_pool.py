"""What the pool of textures keeps: what is asked for again and again, whatever else is, and nothing of what is gone."""

from __future__ import annotations

import pytest

from homunculus.bridge.pool import Pool
from homunculus.bridge.pyramid import Extent

LATELY = Pool.LATELY


class Memory:
    """Stands for a device: counts what was made, and what of it is there."""

    def __init__(self, room: int = 1000) -> None:
        self.room, self.made, self.there = room, 0, 0
        self.pool: Pool[Block] = Pool(lambda extent: Block(self, extent))


class Block:
    def __init__(self, memory: Memory, extent: Extent) -> None:
        if memory.there >= memory.room:
            raise MemoryError("no memory")
        self.extent, self._memory, self._freed = extent, memory, False
        memory.made += 1
        memory.there += 1

    def release(self) -> None:
        self._memory.there -= not self._freed
        self._freed = True

    def reuse(self) -> None:
        assert not self._freed


def extent(side: int, layers: int = 1) -> Extent:
    return Extent(64 * side, 64 * side, layers, 7, "rgba8")


def look(memory: Memory, side: int) -> None:
    """A picture, and two statistics of it one after the other."""
    picture = memory.pool.take(extent(side))
    for level in (1, 2):
        memory.pool.give_back(memory.pool.take(extent(side, 4 * level)))
    memory.pool.give_back(picture)


def made_by(memory: Memory, *sides: int, rounds: int = 50) -> int:
    """How much is made once each was looked at three times."""
    for _ in range(3):
        for side in sides:
            look(memory, side)
    before = memory.made
    for _ in range(rounds):
        for side in sides:
            look(memory, side)
    return memory.made - before


def test_a_picture_its_statistics_and_a_clip_are_made_once() -> None:
    memory = Memory()
    memory.pool.take(extent(9, 31))
    assert made_by(memory, 2) == 0
    assert memory.made == 4


def test_a_picture_and_its_statistics_are_there_for_the_second_one() -> None:
    memory = Memory()
    look(memory, 2)
    look(memory, 2)
    assert memory.made == 3


def test_two_sizes_in_turn_are_made_once() -> None:
    memory = Memory()
    assert made_by(memory, 2, 3) == 0
    assert memory.there == 6


def test_of_ever_new_sizes_nothing_is_kept() -> None:
    memory = Memory()
    for side in range(1, 200):
        look(memory, side)
        assert memory.there == 3
    assert memory.made == 3 * 199


def test_what_is_gone_is_freed_once_it_was_not_asked_for_of_late() -> None:
    memory = Memory()
    made_by(memory, 2, 3)
    for side in range(100, 100 + LATELY):
        look(memory, side)
    assert memory.there == 3


def test_there_are_never_more_spares_than_were_lent_at_once_nor_than_the_most() -> None:
    memory = Memory()
    for count in (5, 3, 5, 40):
        held = [memory.pool.take(extent(1)) for _ in range(count)]
        assert memory.there == max(count, 5)
        for one in held:
            memory.pool.give_back(one)
    assert memory.there == LATELY
    memory.pool.close(lent=False)
    assert memory.there == 0


def test_spares_make_room_where_memory_is_short() -> None:
    memory = Memory(room=3)
    made_by(memory, 2)
    memory.pool.take(extent(5))
    assert memory.there == 1
    memory.pool.take(extent(6))
    memory.pool.take(extent(7))
    with pytest.raises(MemoryError):
        memory.pool.take(extent(8))
