"""A typed decision table over `transitions`. Deciding is not doing: the library chooses the row, we apply it.

Purity needs only the library's extension points (condition, transition, event class): of a transition nothing but its
guards is run, no callback and no change of state. The typed `on` is what a checker sees: a guard of the wrong event, of
the wrong aggregate, or a wrong state does not type-check.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from transitions import Machine
from transitions import Transition as _Transition
from transitions.core import Condition as _Condition
from transitions.core import Event as _TEvent
from transitions.core import EventData as _EventData

from fsm.events import Event, Fact
from fsm.values import replace

if TYPE_CHECKING:
    from fsm.world import Turn

logging.getLogger("transitions").setLevel(logging.WARNING)

S = TypeVar("S", bound=StrEnum)
A = TypeVar("A", bound=Any)
E = TypeVar("E", bound=Event)

Guard = Callable[[A, E, "Turn"], bool]
Do = Callable[[A, E, "Turn"], A]


class Refused(Exception):
    """A request is refused; `reason` is the innermost word: a guard's name, or 'wrong_state'."""

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(reason, detail)
        self.reason = reason
        self.detail = detail


class Defect(AssertionError):
    """The domain contradicts itself: a fact without an outcome. Fatal, never swallowed."""


@dataclass(frozen=True, slots=True)
class Row(Generic[A, E, S]):
    """One line of a table: in any of `source`, when all guards hold, `event` leads to `dest` by `do`.

    `dest` None keeps the state.
    """

    event: type[E]
    source: tuple[S, ...]
    dest: S | None
    guards: tuple[Guard[A, E], ...]
    do: Do[A, E] | None


def on(
    event: type[E],
    source: tuple[S, ...],
    dest: S | None,
    guards: tuple[Guard[A, E], ...] = (),
    do: Do[A, E] | None = None,
) -> Row[A, E, S]:
    """A row. The first row of an event and a state whose guards all hold is taken."""
    return Row(event, source, dest, guards, do)


def ignore(event: type[E], source: tuple[S, ...]) -> Row[Any, E, S]:
    """In these states the fact changes nothing, on purpose."""
    return Row(event, source, None, (), None)


def reason(word: str) -> Callable[[Guard[A, E]], Guard[A, E]]:
    """Give a guard the word of its refusal, where its own name is not it."""

    def mark(guard: Guard[A, E]) -> Guard[A, E]:
        guard.reason = word  # type: ignore[attr-defined]
        return guard

    return mark


class _Guard(_Condition):
    def check(self, event_data: Any) -> bool:
        func: Any = self.func  # functions, never strings: a name would be looked up on the model
        if func(event_data.model, *event_data.args):
            return True
        event_data.failed = getattr(func, "reason", None) or func.__name__
        return False


class _Decision(_Transition):
    condition_cls = _Guard

    def execute(self, event_data: Any) -> bool:
        """Deciding is not doing: the guards are asked, no callback runs, no state changes."""
        for guard in self.conditions:  # noqa: SIM110 - a generator costs more than the guards
            if not guard.check(event_data):
                return False
        return True


class _Trigger(_TEvent):
    def decide(self, aggregate: Any, state: str, event: Event, turn: Turn) -> Any:
        """The first transition from this state whose guards all hold; `.failed` is the last guard that did not."""
        data: Any = _EventData(None, self, self.machine, aggregate, (event, turn), {})
        data.failed = "wrong_state"
        for transition in self.transitions[state]:
            data.transition = transition
            if transition.execute(data):
                data.result = True
                break
        return data


class _Machine(Machine):
    transition_cls = _Decision
    event_cls = _Trigger


class Table(Generic[A, S]):
    """One kind's decision table, shared by all its objects."""

    def __init__(self, name: str, states: type[S], initial: S, rows: Iterable[Row[A, Any, S]]) -> None:
        self.name = name
        self.states = states
        self.initial = initial
        self.rows = tuple(rows)
        self._machine = _Machine(
            model=None,
            states=states,
            initial=initial,
            auto_transitions=False,
            queued=False,
            send_event=False,
        )
        self._name_of = {state: state.name for state in states}  # an enum's own way to its name is a slow one
        self._row_of: dict[int, Row[A, Any, S]] = {}
        for row in self.rows:
            for source in row.source:
                self._add(row, source)

    def _add(self, row: Row[A, Any, S], source: S) -> None:
        trigger = row.event.__name__
        self._machine.add_transition(trigger, source, row.dest or source, conditions=list(row.guards))
        made = self._machine.events[trigger].transitions[source.name][-1]
        self._row_of[id(made)] = row

    def events(self) -> set[type[Event]]:
        return {row.event for row in self.rows}

    def knows(self, event: type[Event], state: S) -> bool:
        trigger = self._machine.events.get(event.__name__)
        return trigger is not None and state.name in trigger.transitions

    def decide(self, aggregate: A, event: Event, turn: Turn) -> A:
        """The aggregate after the event. Raises Refused for a request, Defect for a fact without an outcome."""
        trigger: Any = self._machine.events.get(type(event).__name__)
        state = self._name_of[aggregate.state]
        if trigger is None or state not in trigger.transitions:
            if isinstance(event, Fact):
                raise Defect(f"{self.name} {aggregate.id}: no outcome for {type(event).__name__} in {state}")
            raise Refused("wrong_state", state)
        data = trigger.decide(aggregate, state, event, turn)
        if not data.result:
            if isinstance(event, Fact):
                raise Defect(f"{self.name} {aggregate.id}: {type(event).__name__} in {state}: {data.failed}")
            raise Refused(data.failed, state)
        row = self._row_of[id(data.transition)]
        if row.dest is not None and row.dest != aggregate.state:
            aggregate = replace(aggregate, state=row.dest)
        if row.do is not None:
            aggregate = row.do(aggregate, event, turn)
        return aggregate
