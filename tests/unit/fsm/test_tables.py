"""The tables are complete: every destination, every state, every fact in every state, every word of refusal."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import fsm
from fsm import across, choose, feed, model
from fsm import events as e
from fsm.effects import Effect
from fsm.model import Bay, BayState, Rental, RentalState
from fsm.reasons import REASONS
from fsm.step import _ENTRANCES, _FIRED, TABLES
from fsm.table import Defect, Guard, Refused, Row, Table, ignore, on, reason
from tests.unit.fsm.machine import bench
from vendingd.identity.passes import Refusal

TABLE_STATES: dict[str, tuple[Any, ...]] = {
    "rental": tuple(RentalState),
    "bay": tuple(BayState),
    "visit": tuple(model.VisitState),
}
SOURCES = sorted(Path(fsm.__file__).parent.glob("*.py"))


def concrete_events() -> set[type[e.Event]]:
    bases = {e.Event, e.Request, e.Fact, e.AtTerminal, e.Instruction, across.OfGrant}
    found = {c for c in (*vars(e).values(), *vars(across).values()) if inspect.isclass(c) and issubclass(c, e.Event)}
    return found - bases


def heard_by_tables() -> set[type[e.Event]]:
    return {event for table in TABLES.values() for event in table.events()}


def rows_of(table: Table[Any, Any], event: type[e.Event], state: Any) -> list[Row[Any, Any, Any]]:
    return [row for row in table.rows if row.event is event and state in row.source]


def word(guard: Guard[Any, Any]) -> str:
    return getattr(guard, "reason", None) or guard.__name__


def last_rows() -> Iterator[tuple[str, Row[Any, Any, Any]]]:
    """The rows whose guard's word a refused request tells: the last of an event in a state."""
    for name, table in TABLES.items():
        for event in table.events():
            if issubclass(event, e.Request):
                for state in table.states:
                    rows = rows_of(table, event, state)
                    if rows:
                        yield f"{name} {event.__name__} {state}", rows[-1]


@pytest.mark.parametrize("name", sorted(TABLES))
def test_sources_and_destinations_exist(name: str) -> None:
    table = TABLES[name]
    states = set(TABLE_STATES[name])
    assert table.initial in states
    for row in table.rows:
        assert row.source and set(row.source) <= states, row
        assert row.dest is None or row.dest in states, row


@pytest.mark.parametrize("name", sorted(TABLES))
def test_every_state_is_reachable(name: str) -> None:
    table = TABLES[name]
    reached, more = {table.initial}, True
    while more:
        step = {row.dest for row in table.rows if row.dest is not None and reached & set(row.source)}
        more = not step <= reached
        reached |= step
    assert reached == set(TABLE_STATES[name])


@pytest.mark.parametrize("name", sorted(TABLES))
def test_every_fact_has_an_outcome_in_every_state(name: str) -> None:
    table = TABLES[name]
    facts = [event for event in table.events() if issubclass(event, e.Fact)]
    assert facts
    open_ends = [
        f"{event.__name__} in {state}"
        for event in facts
        for state in table.states
        if not (rows := rows_of(table, event, state)) or rows[-1].guards
    ]
    assert not open_ends


@pytest.mark.parametrize("name", sorted(TABLES))
def test_no_row_stands_behind_an_unconditional_one_in_vain(name: str) -> None:
    """A row none of whose sources can reach it is a mistake of order."""
    table = TABLES[name]
    dead = []
    for index, row in enumerate(table.rows):
        earlier = [r for r in table.rows[:index] if r.event is row.event and not r.guards]
        hidden = {source for r in earlier for source in r.source}
        if set(row.source) <= hidden:
            dead.append(f"{row.event.__name__} from {', '.join(row.source)}")
    assert not dead


def test_final_states_lead_nowhere() -> None:
    """But from `returned`, where the holder may open once more."""
    for row in TABLES["rental"].rows:
        for source in set(row.source) & (model.FINAL - {RentalState.RETURNED}):
            assert row.dest is None, (row.event.__name__, source, row.dest)


def test_requests_and_facts_are_distinct_types() -> None:
    for event in concrete_events():
        assert issubclass(event, e.Request) != issubclass(event, e.Fact), event.__name__


def test_every_event_is_heard() -> None:
    inside_delivery = set(feed._HANDLERS)
    heard = heard_by_tables() | set(_ENTRANCES) | inside_delivery
    assert {c.__name__ for c in concrete_events() - heard} == set()
    assert {c.__name__ for c in concrete_events() if issubclass(c, e.Instruction)} == {
        c.__name__ for c in inside_delivery
    }


def test_what_a_terminal_hears_goes_to_its_visit() -> None:
    for event in concrete_events():
        if issubclass(event, e.AtTerminal):
            assert event in TABLES["visit"].events(), event.__name__


def test_every_deadline_that_is_armed_can_fire_and_is_heard() -> None:
    calls = [node for path in SOURCES for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]
    arming = [c for c in calls if isinstance(c.func, ast.Attribute) and c.func.attr in ("arm_in", "arm_utc")]
    armed = {c.args[1].value for c in arming if isinstance(c.args[1], ast.Constant)}
    assert {name for _, name in _FIRED} == armed
    for (kind, _), fact in _FIRED.items():
        assert type(fact()) in TABLES[kind].events()


def test_guards_words_are_no_wrong_state() -> None:
    """'Not now' and 'not so' are different answers."""
    for where, row in last_rows():
        for guard in row.guards:
            assert word(guard) != "wrong_state", where


def test_every_reason_is_listed() -> None:
    told = {word(guard) for _, row in last_rows() for guard in row.guards}
    source = "\n".join(path.read_text() for path in SOURCES if path.name != "reasons.py")
    told |= set(re.findall(r"""Refused\((?:\s*)"(\w+)\"""", source))
    told |= set(re.findall(r"""Refused\(\w+ or "(\w+)\"""", source)) | {"in_progress", "in_use"}
    told |= {f"unknown_{kind}" for kind in TABLES if kind != "visit"}
    told |= set(re.findall(r"""return "(\w+)"$""", inspect.getsource(choose.unusable), re.M))
    told |= {str(refusal) for refusal in Refusal}
    assert told - {""} - set(REASONS) == set()


def test_every_listed_reason_is_told_by_somebody() -> None:
    root = Path(fsm.__file__).parent.parent
    source = "\n".join(
        path.read_text()
        for folder in ("fsm", "vendingd")
        for path in (root / folder).rglob("*.py")
        if path.name not in ("reasons.py", "prompts.py")
    )
    computed = {f"unknown_{kind}" for kind in TABLES}
    assert {r for r in REASONS if f'"{r}"' not in source} - computed == set()
    assert all(meaning and not meaning.endswith(".") for meaning in REASONS.values())


# ---------------------------------------------------------------- what the pinned library must do for us
def yes(agg: Bay, event: e.Event, turn: Any) -> bool:
    return True


@reason("because")
def never(agg: Bay, event: e.Event, turn: Any) -> bool:
    return False


class CloseIt(e.Request):
    pass


class Happened(e.Fact):
    pass


SEC, OPN = BayState.SECURED, BayState.OPEN
TINY: Table[Bay, BayState] = Table(
    "tiny",
    BayState,
    SEC,
    (
        on(CloseIt, (OPN,), SEC, (yes, never)),
        on(CloseIt, (SEC,), OPN, (never,)),
        on(CloseIt, (SEC,), OPN, (yes,)),
        on(Happened, (OPN,), None, (never,)),
        ignore(Happened, (SEC,)),
    ),
)
TURN: Any = None


def test_deciding_is_not_doing() -> None:
    """Stands on `execute` of transitions: the aggregate that was asked about is untouched."""
    before = Bay(id="b")
    after = TINY.decide(before, CloseIt(), TURN)
    assert after.state is OPN and after is not before
    assert before == Bay(id="b")
    assert TINY.decide(before, Happened(), TURN) is before, "an ignored fact changes nothing"


def test_the_failed_guards_word_and_the_wrong_state_are_told_apart() -> None:
    with pytest.raises(Refused) as refused:
        TINY.decide(Bay(id="b", state=OPN), CloseIt(), TURN)
    assert refused.value.reason == "because"
    with pytest.raises(Refused) as refused:
        TINY.decide(Bay(id="b", state=BayState.SETTLING), CloseIt(), TURN)
    assert refused.value.reason == "wrong_state" and refused.value.detail == "SETTLING"


def test_a_fact_without_an_outcome_is_a_defect() -> None:
    with pytest.raises(Defect):
        TINY.decide(Bay(id="b", state=OPN), Happened(), TURN)
    with pytest.raises(Defect):
        TINY.decide(Bay(id="b", state=BayState.SETTLING), Happened(), TURN)


def test_the_library_adds_no_transitions_and_no_model() -> None:
    for table in TABLES.values():
        machine = table._machine
        assert machine.models == []
        assert set(machine.events) == {event.__name__ for event in table.events()}


def test_a_step_leaves_the_world_alone() -> None:
    """Everything is in what the step returns; applying it is the caller's."""
    m = bench()
    m.book()
    before = {kind: dict(rows) for kind, rows in m.world.of.items()}
    made = fsm_step(m)
    assert made.effects and made.changes
    assert {kind: dict(rows) for kind, rows in m.world.of.items()} == before


def fsm_step(m: Any) -> Any:
    from fsm.step import step

    shown = e.PassPresented("front", "r1", "cloud", "m1", m.utc + 60, m.utc - 60, "k1")
    return step(m.world, shown, m.now)


def test_effects_and_aggregates_are_frozen() -> None:
    for kind in (*Effect.__args__, Rental, Bay, model.Visit, model.Sensed, model.Machine, model.Grant):
        assert kind.__dataclass_params__.frozen, kind
