import os

from tests.support.cli_world import World


def test_check_sums_up(world: World) -> None:
    ran = world.run("check")
    assert (ran.status, ran.err) == (0, "")
    first, *summary = ran.out.splitlines()
    assert first == f"settings OK: {world.settings}"
    assert [line.split()[0] for line in summary] == [
        "fqdn",
        "listeners",
        "smarthost",
        "store",
        "workers",
        "rules",
    ]
    assert "relay.example.org" in summary[0]


def test_check_names_the_checker_of_content(world: World) -> None:
    with world.settings.open("a") as file:
        file.write('[content]\nspamd = "127.0.0.1:783"\n')
    assert world.run("check").out.splitlines()[-1] == "  content    spamd at 127.0.0.1:783"


def test_check_as_json(world: World) -> None:
    (row,) = world.run("check", "--json").rows
    assert row["ok"] is True
    assert row["fqdn"] == "relay.example.org"


def test_check_lists_every_mistake(world: World) -> None:
    world.settings.write_text('fqdn = "relay.example.org"\nfrob = 1\n[limits]\nrecipients = "x"\n')
    ran = world.run("check")
    assert (ran.status, ran.out) == (os.EX_CONFIG, "")
    assert len(ran.err.splitlines()) == 2
    assert "Traceback" not in ran.err
    rows = world.run("check", "--json")
    assert rows.status == os.EX_CONFIG
    assert {row["key"] for row in rows.rows} == {"frob", "limits.recipients"}
    assert all(row["file"] == str(world.settings) and row["expected"] for row in rows.rows)


def test_serve_refuses_what_check_refuses(world: World) -> None:
    world.settings.write_text("frob = 1\n")
    checked, served = world.run("check"), world.run("serve")
    assert (served.status, served.err) == (checked.status, checked.err)
    assert served.status == os.EX_CONFIG
