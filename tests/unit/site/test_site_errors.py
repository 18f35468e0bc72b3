# ruff: noqa: E501 (what is told stands on one line, to be read as it is read)
"""Every mistake in a site file stops the start, with line, key, reason and what to do."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from pydantic import BaseModel, Field, ValidationError

from vendingd.site.load import SIZE_MOST, load_site
from vendingd.site.problems import Findings, SiteError
from vendingd.site.resolved import Site

Problems = Callable[[str], list[str]]


def test_a_good_file_has_neither_errors_nor_warnings(good: str, load: Callable[[str], Site]) -> None:
    assert load(good).warnings == ()


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        # keys
        ("pins = [16", "pin = [16", "19: devices.locks.pin: unknown key; did you mean pins?"),
        ("claim_s = 60", "claim = 60", "12: timing.claim: unknown key; did you mean claim_s?"),
        ("[timing]\n", "[timings]\n", "11: timings: unknown key; did you mean timing or terminals?"),
        ("[[bays]]", "[[bay]]", "38: bay: unknown key; did you mean bays?"),
        ('fits = ["car"]\n', 'fits = ["car"]\nfit = 1\n', "42: bays[0].fit: unknown key; did you mean fits?"),
        ('machine = "m-1"\n', "", "1: machine: is missing; add it: Name of the machine, as the cloud and passes know it."),
        ("schema = 1", "schema = 2", "1: schema: should be 1, not 2; Version of this format: 1."),
        ('driver = "gpio-lock"\n', "", "17: devices.locks.driver: is missing; add it: one of camera-face,"),
        ('lock = "locks:{n}"\n', "", "38: bays[0].lock: is missing; add it: device:channel that unlocks it"),
        # values
        ("claim_s = 60", 'claim_s = "60"', '12: timing.claim_s: should be a valid number, not "60"; A claim ends,'),
        ("claim_s = 60", "claim_s = 0.1", "12: timing.claim_s: should be greater than or equal to 1, not 0.1; A claim"),
        ("claim_s = 60", "claim_s = nan", "12: timing.claim_s: nan is no number that can be used; write a number"),
        ("claim_s = 60", "claim_s = 1979-05-27", "12: timing.claim_s: a date or time (1979-05-27) stands here,"),
        ("claim_s = 60", "max_attempts = true", "12: timing.max_attempts: should be a valid integer, not true;"),
        ("claim_s = 60", "settle_s = 1", "12: timing.settle_s: settle_s (1) is under sensing.occupancy_ms (1500); let"),
        ("claim_s = 60", "warn_open_s = 121", "11: timing: warn_open_s (121) is over held_open_s (120): warn before"),
        ("pins = [16, 17]", "pins = [16, 17.0]", "19: devices.locks.pins[1]: should be a valid integer, not 17.0; Line"),
        ("pins = [16, 17]", "pins = [16, 16]", "19: devices.locks.pins: pin used twice: 16; Line numbers"),
        ("pins = [16, 17]", "pins = [16, 17]\npulse_ms = 1500", "20: devices.locks.pulse_ms: should be less than or"),
        ('sense = "door"', 'sense = "window"', "23: devices.doors.sense: should be 'door', 'bolt'"),
        ("[devices.pad]\n", '[devices.pad]\nenter = "12"\n', "31: devices.pad.enter:"),
        ("[devices.pad]\n", '[devices.pad]\nenter = "*"\n', "30: devices.pad: enter, clear and return_key must be three"),
        ('machine = "m-1"', 'machine = "m 1"', '2: machine: "m 1" is not of the form that is wanted here; Name of'),
        ("n = [1, 2]", "n = [2, 1]", "38: bays[0]: n = [2, 1]: want [first, last], first not over last"),
        ("n = [1, 2]", "n = [1, 2, 3]", "39: bays[0].n"),
        ("n = [1, 2]\n", "", "38: bays[0]: 'bay-{n}' has {n}, but the table has no n: add n = [first, last]"),
        ('id = "bay-{n}"', 'id = "bay-{m}"', '40: bays[0].id: "bay-{m}" is not of the form that is wanted here'),
        ("[[terminals]]", "[terminals]", "46: terminals: should be an array of tables; write [[terminals]], with two"),
        # drivers and references
        ('"gpio-lock"', '"gpio-locks"', '18: devices.locks.driver: no driver is called "gpio-locks"; did you mean gpio-lock'),
        ('"gpio-lock"', "7", "18: devices.locks.driver: should be text; one of camera-face"),
        ('"locks:{n}"', '"lock:{n}"', '42: bays[0].lock (n = 1 to 2): no device is called "lock"; did you mean locks?'),
        ("pins = [2, 3]", "pins = [2]", "43: bays[0].door (n = 2): devices.doors has no such channel; it has channel 1 only"),
        ('"tags:3"', '"tags:4"', "50: terminals[0].tag: devices.tags has no channel 4; it has channels 1 to 3"),
        ('"tags:3"', '"tags:0"', "50: terminals[0].tag: devices.tags has no channel 0; it has channels 1 to 3"),
        (
            '"doors:{n}"',
            '"scanner"',
            "43: bays[0].door (n = 1 to 2): devices.scanner (line-scanner) cannot be a door sensor, it offers code; "
            "devices that can: doors",
        ),
        ('"doors:{n}"', '"locks:{n}"', "43: bays[0].door (n = 1 to 2): devices.locks (gpio-lock) cannot be a door sensor, it"),
        ('keypad = "pad"', 'keypad = "scanner"', "49: terminals[0].keypad: devices.scanner (line-scanner) cannot be a"),
        ('codes = ["scanner"]', 'codes = ["pad"]', "48: terminals[0].codes[0]: devices.pad (serial-keypad) cannot be a reader of codes"),
        ("[[terminals]]", '[estop]\ninput = "doors"\n[[terminals]]', "47: estop.input: devices.doors (gpio-input) cannot be an e-stop,"),
        # what two may not share
        ("pins = [2, 3]", "pins = [2, 17]", "24: devices.doors.pins[1]: GPIO 17 belongs to devices.locks already; give"),
        ('"run/pad"', '"./run/scanner"', "32: devices.pad.port: "),
        ('"run/tag-2"', '"run/../run/pad"', "36: devices.tags.ports[1]: "),
        ('"tags:3"', '"tags:2"', "50: terminals[0].tag: tags:2 belongs to bay bay-2 already; a tag reader is either inside"),
        ('"doors:{n}"', '"doors:1"', "43: bays[0].door (n = 2): doors:1 belongs to bay bay-1 already; give each channel"),
        ('id = "bay-{n}"', 'id = "bay"', '40: bays[0].id (n = 2): a bay "bay" is declared already; give each bay its own, with'),
        (
            "[[terminals]]\n",
            '[[terminals]]\nid = "front"\n[[terminals]]\n',
            '49: terminals[1].id: a terminal "front" is declared already; give each terminal its own',
        ),
        (
            "[[terminals]]\n",
            '[[terminals]]\nid = "back"\ncodes = ["scanner"]\n[[terminals]]\n',
            "51: terminals[1].codes[0]: scanner:1 belongs to terminal back already; give each channel to one place",
        ),
        # the machine as a whole
        ('door = "doors:{n}"\n', "", "38: bays[0].door (n = 1 to 2): nothing senses the door of this bay; add door ="),
        ("tag = \"tags:{n}\"\n", "gate = true\n", "42: bays[0].lock (n = 1 to 2): devices.locks (gpio-lock) cannot be a gate operator,"),
        ("[gpio]\nchip = 0\n", "", "15: devices.locks: uses GPIO, but the file names no GPIO chip; add [gpio] with chip"),
        ('car = ["pass+pin"]', 'car = ["pass+pni"]', "9: policy.least.car: 'pni' is no factor; there are pass, badge,"),
        ('car = ["pass+pin"]', 'car = ["pass+face"]', "9: policy.least.car: no way without a face; add an alternative"),
        ('car = ["pass+pin"]', 'car = ["pin"]', "9: policy.least.car: 'pin' names nobody; add one of badge,"),
        ('car = ["pass+pin"]', 'caar = ["pass+pin"]', "9: policy.least.caar: no bay fits this class; did you mean car?"),
        ('car = ["pass+pin"]', 'vans = ["pass"]', "9: policy.least.vans: no bay fits this class; classes that fit: car"),
        ('car = ["pass+pin"]', '"*" = ["badge"]', '9: policy.least."*": no terminal can check any of these ways; add'),
        ('car = ["pass+pin"]', 'car = ["badge"]', "9: policy.least.car: no terminal can check any of these ways; add"),
        ('car = ["pass+pin"]', "car = []", "9: policy.least.car: want a list of 1 to 16 combinations"),
        ('car = ["pass+pin"]', "car = [1]", "9: policy.least.car[0]: should be a valid string, not 1; By asset class"),
        (
            "[timing]",
            '[cloud]\nurl = "http://10.0.0.1"\n[timing]',
            "12: cloud.url: plain http is for loopback only, not for 10.0.0.1: write https:// with certificate and key",
        ),
        ("[timing]", '[cloud]\nurl = "https://c.example"\n[timing]', "11: cloud: https wants certificate and key,"),
        ("[timing]", '[cloud]\nurl = "http://[::1]:80"\nca = "x"\n[timing]', "11: cloud: certificates are given but url"),
    ],
)  # fmt: skip
def test_one_mistake(good: str, problems: Problems, old: str, new: str, told: str) -> None:
    assert good.count(old) == 1
    said = problems(good.replace(old, new))
    assert len(said) == 1
    assert said[0].startswith(told)


def test_all_mistakes_are_told_at_once_in_the_files_order(good: str, problems: Problems) -> None:
    text = good.replace("claim_s = 60", "claim_s = 0").replace('"gpio-lock"', '"nothing"').replace("tags:3", "tags:9")
    text = text.replace('"doors:{n}"', '"door:{n}"').replace('car = ["pass+pin"]', 'car = ["pin"]')
    text = text.replace('site = "west"', "sites = 3").replace('"run/pad"', "2")
    said = problems(text)
    assert [one.partition(": ")[0] for one in said] == ["3", "9", "12", "18", "32", "43", "50"]
    keys = [one.split(": ")[1] for one in said]
    assert keys[1:4] == ["policy.least.car", "timing.claim_s", "devices.locks.driver"]


def test_who_uses_a_faulty_device_is_not_told_wrong_as_well(good: str, problems: Problems) -> None:
    said = problems(good.replace("pins = [16, 17]", "pins = []"))
    assert [one.partition(": ")[0] for one in said] == ["19"]


def test_a_name_that_is_none(good: str, problems: Problems) -> None:
    said = problems(good.replace("[devices.pad]", '[devices."my pad"]').replace('"pad"', '"my pad"'))
    assert said[0] == '30: devices."my pad": no name for a device; use letters, digits, - and _, a letter first'


def test_a_password_is_not_repeated(good: str, problems: Problems) -> None:
    camera = '[devices.camera]\ndriver = "mjpeg-camera"\nurl = "{}"\n'
    for url in ("ftp://user:s3cret@cam/", "user:s3cret@cam"):
        said = problems(good + camera.format(url))
        assert len(said) == 1
        assert "camera.url: must be http" in said[0]
        assert "s3cret" not in said[0]
    assert "s3cret" not in problems(good + camera.format("x").replace('"x"', '["s3cret"]'))[0]


def test_no_value_of_a_secret_option_is_repeated() -> None:
    class Options(BaseModel):
        secret: str = Field(pattern="^[a-z]+$", max_length=5, repr=False)
        word: str = Field(pattern="^[a-z]+$", max_length=5)

    for value in ("s3cr", "secretly"):
        with pytest.raises(ValidationError) as caught:
            Options(secret=value, word=value)
        found = Findings(Path("site.toml"), f"secret = '{value}'\nword = '{value}'\n")
        found.invalid(caught.value, (), Options)
        with pytest.raises(SiteError) as told:
            found.raise_errors()
        secret, word = told.value.problems
        assert value not in str(secret)
        assert value in str(word)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("schema = 1\nmachine = \n", "2: not TOML: Invalid value (column 11); correct it"),
        ("[a]\n[b]\n[a]\n", "3: not TOML: Cannot declare ('a',) twice"),
        ("a = 1\na = 2\n", "2: not TOML: Cannot overwrite a value"),
        ('a = "', "1: not TOML: "),
    ],
)
def test_what_is_no_toml(problems: Problems, text: str, told: str) -> None:
    (said,) = problems(text)
    assert said.startswith(told)


def test_an_empty_file(problems: Problems) -> None:
    said = problems("")
    assert [one.split(": ")[1] for one in said] == ["schema", "machine", "site", "bays", "terminals"]


@pytest.mark.parametrize("text", ["bays = []", "bays = [1]", "bays = {}", "[bays]", "bays = 3"])
def test_bays_that_are_none(problems: Problems, text: str) -> None:
    assert any(": bays: " in one and "[[bays]]" in one for one in problems(text))


@pytest.mark.parametrize("text", ["devices = []", "[[devices]]", "devices = 1"])
def test_devices_that_are_none(good: str, problems: Problems, text: str) -> None:
    rest = "schema = 1\n" + text
    assert any("devices: should be a table; write [devices.NAME]" in one for one in problems(rest))


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    def told(path: Path) -> str:
        with pytest.raises(SiteError) as caught:
            load_site(path)
        return str(caught.value)

    assert told(tmp_path / "no.toml") == (
        f"{tmp_path}/no.toml: cannot be read: No such file or directory; check the path and who may read it"
    )
    assert "cannot be read: Is a directory" in told(tmp_path)
    (tmp_path / "latin.toml").write_bytes(b"a = 1\nb = '\xe4'\n")
    assert told(tmp_path / "latin.toml") == f"{tmp_path}/latin.toml:2: not UTF-8 text; save it as UTF-8"
    (tmp_path / "large.toml").write_bytes(b"#" * (SIZE_MOST + 1))
    assert f"is over {SIZE_MOST} bytes" in told(tmp_path / "large.toml")
    (tmp_path / "deep.toml").write_text("a = " + "[" * 100_000)
    assert "is nested too deeply" in told(tmp_path / "deep.toml")


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("[[bays]]", '[devices.spare]\ndriver = "gpio-lock"\npins = [4]\n[[bays]]', "38: devices.spare: no bay and no"),
        ('"keys.json"', '"key.json"', "6: identity.keys: there is no file key.json; put it there before the start"),
        ('[identity]\nkeys = "keys.json"\n', "", "2: machine: neither a cloud nor a key file: no pass will ever be"),
        ("[devices.pad]\n", '[devices.pad]\nreturn_key = ""\n', ""),
        (
            'keypad = "pad"\n',
            'keypad = "pad"\nscreen = false\n',
            "",
        ),
    ],
)
def test_warnings(good: str, warnings: Problems, old: str, new: str, told: str) -> None:
    assert good.count(old) == 1
    said = warnings(good.replace(old, new))
    assert len(said) == (1 if told else 0)
    assert all(one.startswith(told) for one in said)


def test_a_tag_reader_that_nobody_can_ask_for(good: str, warnings: Problems) -> None:
    text = good.replace('keypad = "pad"\n', 'keypad = "pad"\nscreen = false\n')
    said = warnings(text.replace("[devices.pad]\n", '[devices.pad]\nreturn_key = ""\n'))
    assert [one.partition(";")[0] for one in said] == [
        "52: terminals[0].tag: nobody can ask for a return at this terminal"
    ]


def test_a_gate_that_is_not_called_one(good: str, warnings: Problems) -> None:
    gates = 'driver = "gpio-gate"\nopen_pins = [16, 17]\nclose_pins = [20, 21]'
    text = good.replace('driver = "gpio-lock"\npins = [16, 17]', gates)
    assert [one.partition(";")[0] for one in warnings(text)] == [
        "43: bays[0].lock (n = 1 to 2): devices.locks opens gates"
    ]
    assert warnings(text.replace('fits = ["car"]', 'fits = ["car"]\ngate = true')) == []


def test_the_start_adds_errors_of_its_own(good: str, load: Callable[[str], Site]) -> None:
    error = load(good).error(("identity", "keys"), "not JSON", "write it anew")
    assert str(error).endswith("site.toml:6: identity.keys: not JSON; write it anew")
