"""Training as it goes on, told on stderr: bars on a terminal, plain lines elsewhere; and what Ctrl-C does to it."""

from __future__ import annotations

import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from types import FrameType
from typing import Protocol, runtime_checkable

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TaskProgressColumn, TextColumn, TimeRemainingColumn

from gatecast.edge.text import plain
from gatecast.train.lockstep import Tick
from gatecast.train.loop import LossCurve, State, Store

EVERY = 10.0
"""Seconds between two plain lines about one model."""


@dataclass
class Work:
    """How far the networks of one model are, over all its seeds."""

    name: str
    networks: int
    epochs: int = 0
    ended: int = 0
    closed: bool = False
    running: dict[tuple[int, str], int] = field(default_factory=dict)
    started: float = field(default_factory=lambda: time.monotonic())

    @property
    def total(self) -> int:
        """Epochs of all networks together."""
        return self.networks * self.epochs

    @property
    def done(self) -> int:
        """Epochs behind us; a network that ended early has done all of its own."""
        return self.ended * self.epochs + sum(self.running.values())

    @property
    def over(self) -> bool:
        """Whether every network has ended."""
        return self.ended >= self.networks

    @property
    def seconds(self) -> float:
        """Since the first network began."""
        return time.monotonic() - self.started

    def count(self, curve: LossCurve, epochs: int) -> None:
        """One more epoch of the network that this thread trains."""
        self.epochs = max(self.epochs, epochs)
        self.running[threading.get_ident(), curve.name] = len(curve.train)
        if curve.ending:
            del self.running[threading.get_ident(), curve.name]
            self.ended += 1


@runtime_checkable
class Display(Protocol):
    """Shows work in progress; called under a lock."""

    def begin(self, work: Work) -> None:
        """A model starts."""

    def epoch(self, work: Work, curve: LossCurve) -> None:
        """One of its networks has done one more epoch."""

    def end(self, work: Work) -> None:
        """A model has ended."""

    def say(self, line: str) -> None:
        """A line that is not about the work's state."""


class Lines:
    """Plain lines: a model starts, every 10 seconds how far it is, a model ends. `quiet` leaves them out."""

    def __init__(self, quiet: bool = False) -> None:
        self._quiet, self._last = quiet, 0.0

    def begin(self, work: Work) -> None:
        """A model starts."""
        self._last = time.monotonic()
        self.tell(f"{work.name}: training {_networks(work.networks)}")

    def epoch(self, work: Work, curve: LossCurve) -> None:
        """Tells at most every 10 seconds."""
        if time.monotonic() - self._last < EVERY or work.over:
            return
        self._last = time.monotonic()
        left = work.seconds * (work.total - work.done) / work.done
        held = f", held back {curve.valid[-1]:.4g}" if curve.valid else ""
        loss = f"loss {curve.train[-1]:.4g}{held}"
        self.tell(f"{work.name}: {work.done} of at most {work.total} epochs, {loss}, about {left:.0f} s left")

    def end(self, work: Work) -> None:
        """A model has ended."""
        self.tell(f"{work.name}: trained in {work.seconds:.1f} s")

    def say(self, line: str) -> None:
        """A line that is told even when quiet."""
        sys.stderr.write(f"{plain(line)}\n")
        sys.stderr.flush()

    def tell(self, line: str) -> None:
        """A line that quiet leaves out."""
        if not self._quiet:
            self.say(line)


class Bars:
    """One bar per model, with the time left."""

    def __init__(self, bars: Progress) -> None:
        self._bars = bars
        self._task = TaskID(0)

    def begin(self, work: Work) -> None:
        """A new bar."""
        self._task = self._bars.add_task(plain(work.name), total=None)

    def epoch(self, work: Work, curve: LossCurve) -> None:
        """The bar grows."""
        self._bars.update(self._task, completed=work.done, total=work.total)

    def end(self, work: Work) -> None:
        """The bar is full."""
        total = work.total or 1
        self._bars.update(self._task, completed=total, total=total)

    def say(self, line: str) -> None:
        """A line above the bars."""
        self._bars.console.print(plain(line), soft_wrap=True)


class Follower:
    """The monitor of the command line: counts epochs over threads, and turns Ctrl-C into an early end.

    A model's networks may begin once per seed, at the same time: `seeds` beginnings under one name are one model.
    The first interrupt ends the model in training with its best weights; the second, or one while nothing trains,
    ends the run: KeyboardInterrupt in the main thread, and in every thread that asks whether to stop.
    """

    def __init__(self, display: Display, seeds: int = 1) -> None:
        self._display, self._seeds = display, seeds
        self._lock = threading.Lock()
        self._work: Work | None = None
        self._begun = 0
        self._interrupted = self._cut = self._told = self._ended = False

    def begin(self, name: str, networks: int) -> None:
        """A model begins, or another seed of the one that has begun."""
        with self._lock:
            if self._work is not None and self._work.name == name and self._begun < self._seeds:
                self._begun += 1
                return
            self._finish()
            self._work, self._begun, self._cut = Work(name, networks * self._seeds), 1, False
            self._display.begin(self._work)

    def epoch(self, curve: LossCurve, epochs: int) -> None:
        """One epoch of one network is done."""
        with self._lock:
            if self._work is None:
                return
            self._work.count(curve, epochs)
            self._display.epoch(self._work, curve)
            if self._work.over:
                self._finish()

    def stopped(self) -> bool:
        """Whether the model in training ends here; raises KeyboardInterrupt where the whole run does."""
        if self._ended:
            raise KeyboardInterrupt
        if self._cut and not self._told:
            with self._lock:
                if not self._told:
                    self._told = True
                    self._display.say("stopping this model with its best weights; Ctrl-C again ends the run")
        return self._cut

    def interrupt(self, signum: int, frame: FrameType | None) -> None:
        """What SIGINT does; takes no lock, because it may come while the main thread holds it."""
        training = self._work is not None and not self._work.closed
        if self._interrupted or not training:
            self._ended = True
            raise KeyboardInterrupt
        self._interrupted = self._cut = True

    def close(self) -> None:
        """The last model has ended."""
        with self._lock:
            self._finish()
            self._work = None

    def _finish(self) -> None:
        """Tell once that the model has ended (a network that was trained before never reports an epoch)."""
        if self._work is not None and not self._work.closed:
            self._work.closed = True
            self._display.end(self._work)


class Uncut:
    """A store that does not keep networks ended by hand, so that a resumed run trains them to their own end."""

    def __init__(self, store: Store, follower: Follower) -> None:
        self._store, self._follower = store, follower

    def read(self, key: str) -> State | None:
        """What the store has."""
        return self._store.read(key)

    def write(self, key: str, state: State) -> None:
        """Keep it, unless it was ended by hand."""
        if not (state.finished and self._follower.stopped()):
            self._store.write(key, state)


@contextmanager
def following(seeds: int = 1, quiet: bool = False) -> Iterator[Follower]:
    """A follower that listens to Ctrl-C while the context lasts."""
    bars: AbstractContextManager[Progress | None] = nullcontext()
    if sys.stderr.isatty() and not quiet:
        bars = _bars()
    with bars as drawn:
        follower = Follower(Bars(drawn) if drawn else Lines(quiet), seeds)
        before = signal.signal(signal.SIGINT, follower.interrupt)
        try:
            yield follower
            follower.close()
        finally:
            signal.signal(signal.SIGINT, before)


class Counted(Tick):
    """Steps of work on a bar, or as a plain line every 10 seconds."""

    def __init__(self, bars: Progress | None, quiet: bool) -> None:
        self._bars, self._lines = bars, Lines(quiet)
        self._lock = threading.Lock()
        self._what, self._total, self._done, self._task, self._last = "", 1, 0, TaskID(0), 0.0

    def begin(self, what: str, total: int) -> None:
        """A stage begins."""
        with self._lock:
            self._what, self._total, self._done, self._last = what, total, 0, time.monotonic()
            if self._bars:
                self._task = self._bars.add_task(what, total=total)

    def step(self) -> None:
        """One step is done."""
        with self._lock:
            self._done += 1
            if self._bars:
                self._bars.update(self._task, completed=self._done)
            elif time.monotonic() - self._last >= EVERY:
                self._last = time.monotonic()
                self._lines.tell(f"{self._what}: {self._done} of {self._total} steps")


@contextmanager
def counting(quiet: bool = False) -> Iterator[Counted]:
    """One who counts steps on stderr while the context lasts."""
    bars: AbstractContextManager[Progress | None] = _bars() if sys.stderr.isatty() and not quiet else nullcontext()
    with bars as drawn:
        yield Counted(drawn, quiet)


def _bars() -> Progress:
    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TaskProgressColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True, markup=False, emoji=False, highlight=False),
        redirect_stdout=False,
        redirect_stderr=False,
    )


def _networks(count: int) -> str:
    return "1 network" if count == 1 else f"{count} networks"
