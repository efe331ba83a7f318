"""Threads that increment a counter, with a lock around reading and writing it, or without.

A thread locks, reads the counter into a variable of its own, writes back one more, and unlocks.
When all are through, the counter must be the number of threads. Without the lock two threads may
read the same value, which is the best known of all races.

Threads are interchangeable: nothing but their positions in the state tells them apart, so sorting
them gives a canonical form, and as many states as there are kinds of situations.
"""

from collections.abc import Iterable
from typing import NamedTuple

from concur.verify import Model

START, LOCKED, READ, WRITTEN, FINISHED = range(5)


class Thread(NamedTuple):
    at: int = START
    seen: int = 0
    """What it read."""


class Memory(NamedTuple):
    counter: int
    is_locked: bool
    threads: tuple[Thread, ...]


class IncrementLock(Model[Memory]):
    symmetric = True

    def __init__(self, threads: int, locks: bool = True) -> None:
        self.name = f"{threads} threads that increment {'with' if locks else 'without'} a lock"
        self.threads = threads
        self.locks = locks

    def initial(self) -> Iterable[Memory]:
        return [Memory(0, False, (Thread(),) * self.threads)]

    def steps(self, state: Memory) -> Iterable[tuple[str, Memory]]:
        counter, is_locked, threads = state
        for number, (at, seen) in enumerate(threads):
            name = f"thread {number + 1}"

            def go(thread: Thread, counter: int = counter, is_locked: bool = is_locked) -> Memory:
                others = (*threads[:number], thread, *threads[number + 1 :])  # noqa: B023
                return Memory(counter, is_locked, others)

            if at == START and not (is_locked and self.locks):
                yield f"{name} locks", go(Thread(LOCKED, seen), is_locked=True)
            elif at == LOCKED:
                yield f"{name} reads {counter}", go(Thread(READ, counter))
            elif at == READ:
                yield f"{name} writes {seen + 1}", go(Thread(WRITTEN, seen), counter=seen + 1)
            elif at == WRITTEN:
                yield f"{name} unlocks", go(Thread(FINISHED, seen), is_locked=False)

    def broken(self, state: Memory) -> tuple[str, str] | None:
        written = sum(thread.at >= WRITTEN for thread in state.threads)
        if state.counter == written:
            return None
        return "no_lost_update", f"{written} threads have written, the counter is {state.counter}"

    def done(self, state: Memory) -> bool:
        return all(thread.at == FINISHED for thread in state.threads)

    def canonical(self, state: Memory) -> Memory:
        return state._replace(threads=tuple(sorted(state.threads)))
