"""Work in a process of its own, for compiled code that a bad file may crash: the job goes on and the case is named."""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import TypeVar

from recur.tables import StudyError

Made = TypeVar("Made")
FORK = multiprocessing.get_context("fork")  # milliseconds: everything is imported already
CRASHES = {signal.SIGSEGV, signal.SIGBUS, signal.SIGABRT, signal.SIGFPE, signal.SIGILL}


class Crashed(ValueError):
    """The compiled code died on its input."""


def isolated(work: Callable[[], Made]) -> Made:
    """work(), done by a forked child; its exceptions are raised here.

    Raises Crashed when the child dies of an error of its own, StudyError when it is killed: what the machine did
    (memory, time limit, an operator) says nothing about the case, and the job must fail and be sent again.
    """
    ours, theirs = FORK.Pipe(duplex=False)
    child = FORK.Process(target=_send, args=(theirs, work))
    child.start()
    theirs.close()
    try:
        made, error = ours.recv()
    except EOFError:
        child.join()
        died = signal.Signals(-child.exitcode) if child.exitcode and child.exitcode < 0 else None
        if died in CRASHES:
            raise Crashed(f"the compiled code crashed on it ({died.name}); look at the image and mask") from None
        how = died.name if died else f"exit code {child.exitcode}"
        raise StudyError(f"a process was killed from outside ({how}): too little memory? Run again") from None
    finally:
        ours.close()
    child.join()
    if error is not None:
        raise error
    return made


def _send(to: Connection, work: Callable[[], Made]) -> None:
    try:
        answer = (work(), None)
    except Exception as error:
        answer = (None, error)
    to.send(answer)
    to.close()
