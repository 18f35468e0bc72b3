"""OSDP readers' small parts: badges and keys of events, key files, options, and the peer's own arithmetic."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from drivers import registry
from drivers.readers.osdp_key import KeyFileError, read_key, rename_key, write_key
from drivers.readers.osdp_reads import Repeats, badge_of, keys_of
from hw_sim.wires.osdp_secure import DEFAULT_KEY, Channel, padded

KEY = bytes.fromhex("6b0c1f4de29a83b75508c4d1f7e6a239")


# ---------------------------------------------------------------- badges and keys
@pytest.mark.parametrize(
    ("bits", "data", "form", "badge"),
    [
        (26, "0123ABC0", 1, "wiegand26:0123ABC0"),
        (26, "0123ABC0", 0, "wiegand26:0123ABC0"),
        (26, "0123ABFF", 1, "wiegand26:0123ABC0"),
        (32, "04112233", 1, "wiegand32:04112233"),
        (16, "ABCD", 1, "wiegand16:ABCD"),
        (15, "ABCC", 1, None),
        (4, "50", 0, None),
        (0, "", 0, None),
        (26, "0123AB", 1, None),
        (26, "0123ABC000", 1, None),
        (64, "0123ABC001020304", 2, None),  # text: deprecated, and not to be told from anything
    ],
)
def test_badges(bits: int, data: str, form: int, badge: str | None) -> None:
    assert badge_of({"length": bits, "data": bytes.fromhex(data), "format": form}) == badge


def test_a_badge_without_a_length_is_none() -> None:
    assert badge_of({"data": b"1234", "format": 2}) is None


def test_keys_are_those_of_a_keypad() -> None:
    assert keys_of({"data": b"0123456789\x7f\x0dA*#"}) == b"0123456789*#A*#"
    assert keys_of({"data": bytes([0xB2])}) == b"\xb2"


def test_a_badge_is_repeated_for_as_long_as_it_is_read_again_and_again() -> None:
    repeats = Repeats(1.0)
    assert [repeats.again("a", at) for at in (0, 0.5, 1.4, 2.3)] == [False, True, True, True]
    assert [repeats.again("a", 3.3), repeats.again("b", 3.4), repeats.again("a", 3.5)] == [False, False, False]
    assert "a" not in repr(Repeats(1.0)).removeprefix("Repeats")


# ---------------------------------------------------------------- key files
def test_a_key_file_is_its_owners_and_comes_back(tmp_path: Path) -> None:
    path = tmp_path / "reader.key"
    write_key(path, KEY)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert path.read_text() == KEY.hex() + "\n" and read_key(path) == KEY


def test_a_key_is_never_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "reader.key"
    write_key(path, KEY)
    with pytest.raises(KeyFileError, match="cannot be written"):
        write_key(path, bytes(16))
    assert read_key(path) == KEY
    (tmp_path / "new").symlink_to(path)
    with pytest.raises(KeyFileError):
        write_key(tmp_path / "new", bytes(16))
    assert read_key(path) == KEY


def test_a_pending_key_takes_the_place_of_an_old_one(tmp_path: Path) -> None:
    write_key(tmp_path / "reader.key", bytes(16))
    write_key(tmp_path / "reader.key.new", KEY)
    rename_key(tmp_path / "reader.key.new", tmp_path / "reader.key")
    assert read_key(tmp_path / "reader.key") == KEY and not (tmp_path / "reader.key.new").exists()
    with pytest.raises(KeyFileError, match="cannot be renamed"):
        rename_key(tmp_path / "reader.key.new", tmp_path / "reader.key")


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o601, 0o777])
def test_a_key_that_others_can_read_is_no_key(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "reader.key"
    write_key(path, KEY)
    path.chmod(mode)
    with pytest.raises(KeyFileError, match="chmod 600"):
        read_key(path)


@pytest.mark.parametrize(
    "text", ["", "00", KEY.hex()[:-1], KEY.hex() + "00", "g" * 32, "\xff" * 32, DEFAULT_KEY.hex(), KEY.hex() * 99]
)
def test_what_is_no_key_is_refused_and_not_quoted(tmp_path: Path, text: str) -> None:
    path = tmp_path / "reader.key"
    path.write_text(text, encoding="latin-1")
    path.chmod(0o600)
    with pytest.raises(KeyFileError) as why:
        read_key(path)
    assert "vendingctl reader commission" in str(why.value)
    assert len(text) < 8 or text[:8] not in str(why.value)


@pytest.mark.parametrize("text", [KEY.hex().upper(), KEY.hex(" "), f"  {KEY.hex()}\r\n"])
def test_hex_as_people_write_it_is_read(tmp_path: Path, text: str) -> None:
    path = tmp_path / "reader.key"
    path.write_text(text)
    path.chmod(0o600)
    assert read_key(path) == KEY


# ---------------------------------------------------------------- options
def options(**values: Any) -> Any:
    return registry.find("osdp-reader").options.model_validate({"port": "p", **values})


def test_the_least_that_a_site_says() -> None:
    driver = registry.find("osdp-reader")
    least = options(scbk="reader.key")
    assert least.key_files() == ("reader.key",) and list(driver.channels(least)) == [1]
    several = options(scbk=["a.key", "b.key"], addresses=[3, 5])
    assert several.key_files() == ("a.key", "b.key") and list(driver.channels(several)) == [1, 2]
    assert driver.roles == {"badge", "keypad", "tamper"}


def test_every_option_is_described() -> None:
    schema = registry.find("osdp-reader").options.model_json_schema()
    assert [key for key, value in schema["properties"].items() if not value.get("description")] == []


@pytest.mark.parametrize(
    ("values", "why"),
    [
        ({}, "scbk"),
        ({"scbk": ""}, "at least 1 character"),
        ({"scbk": "a", "addresses": [0, 1]}, "one key file for each of the addresses"),
        ({"scbk": ["a", "b"]}, "one key file for each of the addresses"),
        ({"scbk": ["a", "a"], "addresses": [0, 1]}, "key file a is named twice"),
        ({"scbk": ["a", "b"], "addresses": [1, 1]}, "address 1 is named twice"),
        ({"scbk": "a", "addresses": [127]}, "less than or equal to 126"),
        ({"scbk": "a", "addresses": []}, "at least 1 item"),
        ({"scbk": "a", "baud": 1200}, "greater than or equal to 9600"),
        ({"scbk": "a", "enter": "*"}, "three different characters"),
        ({"scbk": "a", "idle_light": "pink"}, "'off', 'red'"),
        ({"scbk": "a", "secure": False}, "secure"),  # it cannot be switched off
    ],
)
def test_a_wrong_option_says_what_to_do(values: dict[str, Any], why: str) -> None:
    with pytest.raises(ValidationError, match=why.replace("(", r"\(")):
        options(**values)


# ---------------------------------------------------------------- the peer, by the examples of the standard's annex E
def test_the_simulated_readers_secure_channel_is_the_standards() -> None:
    channel = Channel.begin(DEFAULT_KEY, bytes(range(0xB0, 0xB8)), bytes(range(0xA0, 0xA8)))
    assert channel.s_mac1.hex() == "5e86c676603bdee2d8beafe178637332"
    assert channel.s_mac2.hex() == "6fda86e857777e81132035758239172e"
    assert channel.s_enc.hex() == "bf8dc2a8329acb8c67c6d0cd9a451682"
    assert channel.server_cryptogram.hex() == "26d3356e07762d262801fc8e6665a891"
    assert channel.client_cryptogram.hex() == "fde5d2f428ec16312471ea3c02bd7796"
    assert channel.stand().hex() == "b2a30057eb98ba2229ec1f875662b524"


@pytest.mark.parametrize(("length", "whole"), [(0, 16), (1, 16), (15, 16), (16, 32), (17, 32)])
def test_padding_is_always_there(length: int, whole: int) -> None:
    text = padded(b"x" * length)
    assert len(text) == whole and text[length:] == b"\x80" + bytes(whole - length - 1)
