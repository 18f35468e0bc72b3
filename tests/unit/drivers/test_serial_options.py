"""Options of the serial drivers: what a site may write, and what it is told where it errs."""

from typing import Any

import pytest
from pydantic import ValidationError

from drivers import registry


def options(driver: str, **values: Any) -> Any:
    return registry.find(driver).options.model_validate(values)


@pytest.mark.parametrize(
    ("driver", "values", "last"),
    [
        ("lock-8a", {"port": "p"}, 8),
        ("lock-8a", {"port": "p", "addresses": [3, 1], "locks_per_board": 24, "inverted": [48]}, 48),
        ("kerong-cu48", {"port": "p"}, 48),
        ("kerong-cu48", {"port": "p", "addresses": list(range(10))}, 480),
        ("line-scanner", {"port": "p"}, 1),
        ("serial-keypad", {"port": "p", "return_key": ""}, 1),
        ("rdm6300", {"ports": ["p", "q"]}, 2),
    ],
)
def test_channels(driver: str, values: dict[str, Any], last: int) -> None:
    assert list(registry.find(driver).channels(options(driver, **values))) == list(range(1, last + 1))


def test_defaults_are_the_devices() -> None:
    assert options("lock-8a", port="p").model_dump() == {
        "port": "p", "baud": 9600, "addresses": (1,), "locks_per_board": 8, "closed_is": "11", "inverted": (),
        "feedback": "door", "poll_hz": 2, "poll_busy_hz": 10, "reply_timeout_ms": 200,
    }  # fmt: skip
    assert options("kerong-cu48", port="p").model_dump() == {
        "port": "p", "baud": 19200, "addresses": (0,), "locked_bit": 1, "feedback": "door",
        "poll_hz": 2, "poll_busy_hz": 10, "reply_timeout_ms": 200,
    }  # fmt: skip
    assert options("line-scanner", port="p").model_dump() == {
        "port": "p", "baud": 9600, "trigger": "none", "idle_gap_ms": 100, "max_length": 4296,
    }  # fmt: skip
    assert options("serial-keypad", port="p").model_dump() == {
        "port": "p", "baud": 9600, "enter": "#", "clear": "*", "return_key": "A", "max_digits": 12, "forget_s": 15,
    }  # fmt: skip
    assert options("rdm6300", ports=["p"]).model_dump() == {"ports": ("p",), "baud": 9600, "gone_ms": 1500}


@pytest.mark.parametrize(
    ("driver", "values", "why"),
    [
        ("lock-8a", {}, "port"),
        ("lock-8a", {"port": ""}, "port"),
        ("lock-8a", {"port": "p", "bauds": 1}, "bauds"),
        ("lock-8a", {"port": "p", "addresses": []}, "at least 1 item"),
        ("lock-8a", {"port": "p", "addresses": [0]}, "greater than or equal to 1"),
        ("lock-8a", {"port": "p", "addresses": [32]}, "less than or equal to 31"),
        ("lock-8a", {"port": "p", "addresses": [True]}, "valid integer"),
        ("lock-8a", {"port": "p", "addresses": [2, 1, 2]}, "address 2 is named twice: name each once"),
        ("lock-8a", {"port": "p", "inverted": [9]}, "inverted channel 9 does not exist: channels are 1 to 8"),
        ("lock-8a", {"port": "p", "inverted": [1, 1]}, "inverted channel 1 is named twice"),
        ("lock-8a", {"port": "p", "locks_per_board": 0}, "greater than or equal to 1"),
        ("lock-8a", {"port": "p", "closed_is": "01"}, "'11' or '00'"),
        ("lock-8a", {"port": "p", "feedback": "light"}, "'door' or 'bolt'"),
        ("lock-8a", {"port": "p", "poll_hz": 20}, "poll_busy_hz must not be below poll_hz"),
        ("lock-8a", {"port": "p", "poll_hz": 0}, "greater than 0"),
        ("kerong-cu48", {"port": "p", "addresses": [10]}, "less than or equal to 9"),
        ("kerong-cu48", {"port": "p", "addresses": [-1]}, "greater than or equal to 0"),
        ("kerong-cu48", {"port": "p", "addresses": [0, 0]}, "address 0 is named twice"),
        ("kerong-cu48", {"port": "p", "locked_bit": 2}, "less than or equal to 1"),
        ("line-scanner", {"port": "p", "trigger": "gm66"}, "'none', 'gm65' or 'honeywell'"),
        ("line-scanner", {"port": "p", "idle_gap_ms": 0}, "greater than or equal to 10"),
        ("serial-keypad", {"port": "p", "enter": "*"}, "three different characters"),
        ("serial-keypad", {"port": "p", "enter": "1"}, "enter"),
        ("serial-keypad", {"port": "p", "clear": "##"}, "at most 1 character"),
        ("rdm6300", {"ports": []}, "at least 1 item"),
        ("rdm6300", {"ports": ["a", "b", "a"]}, "port a is named twice"),
    ],
)
def test_a_wrong_option_says_what_to_do(driver: str, values: dict[str, Any], why: str) -> None:
    with pytest.raises(ValidationError, match=why):
        options(driver, **values)
