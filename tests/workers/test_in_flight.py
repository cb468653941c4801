"""What keeps an engine busy: the next piece is handed out before, or after, the last one is dealt with."""

from __future__ import annotations

from concurrent.futures import Future

import pytest

from tunebench.workers.engines import in_flight


class AtOnce:
    """An engine of one worker that is done with whatever it is given, and notes what."""

    workers = 1

    def __init__(self):
        self.given = []

    def submit(self, function, argument, timeout):
        """See `tunebench.workers.engines.Engine`."""
        self.given.append(argument)
        done = Future()
        done.set_result(function(argument))
        return done


@pytest.mark.parametrize("ahead", [False, True])
def test_a_worker_need_not_wait_for_what_is_done_with_its_result(ahead):
    """Its next piece is there before the last is yielded, with ``ahead``; one that comes later is done too."""
    engine, todo = AtOnce(), ["first", "second"]
    seen = []
    for argument, _ in in_flight(engine, len, lambda: todo.pop(0) if todo else None, None, ahead=ahead):
        seen.append((argument, len(engine.given)))
        if argument == "second":
            todo.append("late")
    assert seen == [("first", 1 + ahead), ("second", 2), ("late", 3)]
