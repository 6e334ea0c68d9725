"""The data folder, its secrets and ports, and the sentences for what stops a start."""

import json
import os
import socket
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from cattery.settings import HomeSettings
from cli.configuration import UpSettings, read_settings
from cli.errors import AlreadyRunningError, CommandError
from cli.harness_checks import require_harnesses
from cli.home import Home
from cli.ports import choose_ports, is_free, read_ports
from cli.preflight import require_node, require_port
from cli.running import RunRecord, UpLock, find_supervisor


@pytest.fixture
def home(tmp_path: Path) -> Home:
    made = Home(tmp_path / "deep" / "home")
    made.prepare()
    return made


@contextmanager
def listening() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def write_program(folder: Path, name: str, script: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(f"#!/bin/sh\n{script}\n")
    (folder / name).chmod(0o755)


def test_the_data_folder_and_all_in_it_are_closed_to_others(home: Home) -> None:
    home.secret("jwt")
    folders = [home.folder, *(path for path in home.folder.iterdir() if path.is_dir())]
    assert {mode_of(folder) for folder in folders} == {0o700}
    assert mode_of(home.folder / "secrets" / "jwt") == 0o600


def test_a_data_folder_that_was_opened_is_closed_again(home: Home) -> None:
    choose_ports(home, ["gateway"])
    home.folder.chmod(0o755)
    home.prepare()
    assert mode_of(home.folder) == 0o700


def test_a_folder_with_other_things_in_it_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "diary.txt").touch()
    tmp_path.chmod(0o755)
    with pytest.raises(CommandError, match=r"holds other things.*CATTERY_HOME="):
        Home(tmp_path).prepare()
    assert mode_of(tmp_path) == 0o755


def test_a_data_folder_that_cannot_be_made_is_said_with_the_remedy(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(CommandError, match=r"cannot be used \(Not a directory\).*CATTERY_HOME="):
        Home(tmp_path / "file" / "home").prepare()


def test_a_secret_is_made_once_and_kept(home: Home) -> None:
    first = home.secret("jwt")
    assert len(bytes.fromhex(first)) == 32
    assert home.secret("jwt") == first
    assert home.secret("postgres") != first


def test_a_secret_whose_making_was_cut_off_is_made_again(home: Home) -> None:
    (home.folder / "secrets" / "jwt").touch()
    assert len(home.secret("jwt")) == 64


def test_ports_are_chosen_once_and_kept(home: Home) -> None:
    first, moved = choose_ports(home, ["gateway", "postgres"])
    assert len(set(first.values())) == 2
    assert not moved
    assert choose_ports(home, ["postgres", "gateway"]) == (first, frozenset())


def test_a_port_that_was_taken_meanwhile_is_chosen_anew(home: Home) -> None:
    with listening() as port:
        home.state_file.write_text(json.dumps({"ports": {"gateway": port, "temporal": 15999}}))
        chosen, moved = choose_ports(home, ["gateway"])
    assert chosen["gateway"] != port
    assert moved == {"gateway"}
    assert read_ports(home) == {"gateway": chosen["gateway"], "temporal": 15999}


def test_a_damaged_state_file_only_costs_the_ports(home: Home) -> None:
    home.state_file.write_text('{"ports": [')
    assert read_ports(home) == {}
    assert choose_ports(home, ["gateway"])[0]["gateway"]


def test_the_ports_of_ours_lie_below_those_of_outgoing_connections(home: Home) -> None:
    ports, _ = choose_ports(home, [f"part-{number}" for number in range(20)])
    assert all(15_000 <= port < 20_000 for port in ports.values())


def test_a_taken_port_is_said_with_its_holder_and_another_one() -> None:
    with listening() as port:
        assert not is_free("127.0.0.1", port)
        with pytest.raises(CommandError) as raised:
            require_port(UpSettings(port=port))
    assert raised.value.message == (
        f"Port {port} is taken by process {os.getpid()} ({_own_name()}). Stop it, or choose "
        f"another port: CATTERY_PORT={port + 1}"
    )


def test_a_second_lock_says_who_holds_the_first(home: Home) -> None:
    first = UpLock(home)
    first.acquire()
    RunRecord.new("http://127.0.0.1:8123").save(home)
    try:
        assert find_supervisor(home) == os.getpid()
        with pytest.raises(AlreadyRunningError) as raised:
            UpLock(home).acquire()
    finally:
        first.release()
    assert find_supervisor(home) is None
    assert raised.value.message == (
        f"Cattery already runs at http://127.0.0.1:8123 (process {os.getpid()}) with the data in "
        f"{home.folder}. Use it, or end it with: cattery down"
    )


def test_that_no_harness_is_installed_is_said_with_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match=r"No harness is installed in .*make install"):
        require_harnesses(HomeSettings(tools=tmp_path))


def test_a_harness_that_is_not_installed_is_only_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CATTERY_HARNESS_TYPES", "opencode")
    (tmp_path / "opencode/node_modules/.bin").mkdir(parents=True)
    (tmp_path / "opencode/node_modules/.bin/opencode").touch()
    assert require_harnesses(HomeSettings(tools=tmp_path)) == []


def test_a_missing_node_is_said_with_the_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(CommandError, match=r"Node\.js is not installed\. Install version 20"):
        require_node()


def test_a_node_that_is_too_old_is_said_with_its_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_program(tmp_path, "node", "echo v18.20.1")
    monkeypatch.setenv("PATH", str(tmp_path))
    said = r"needs Node\.js 20\.19 or newer; .*/node is v18\.20\.1"
    with pytest.raises(CommandError, match=said):
        require_node()


def test_a_wrong_value_is_said_by_the_variables_name_without_the_value(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("CATTERY_PORT", "eighty")
    with pytest.raises(CommandError) as raised:
        read_settings(UpSettings)
    assert raised.value.message.startswith("CATTERY_PORT has a value that cannot be used: ")
    assert "eighty" not in raised.value.message


def _own_name() -> str:
    return Path(f"/proc/{os.getpid()}/comm").read_text().strip()
