"""The console over a queue in PostgreSQL: pages, API and webhooks do what they do over a file.

The tests are those of the modules beside this one; here their fixtures have a database.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from relayd.policy.console.roles import Role
from tests.console.test_api_submissions import (  # noqa: F401 -- run here once more
    folder,
    test_a_message_as_it_is,
    test_a_message_by_its_fields_is_queued,
    test_each_recipient_has_its_own_answer,
    test_many_at_the_same_time_are_one_message,
    test_the_same_key_is_the_same_message,
)
from tests.console.test_console_pages import (  # noqa: F401 -- as above
    test_a_message_tells_its_history_and_what_it_waits_for,
    test_a_reply_is_text_and_its_controls_are_spelt_out,
    test_only_an_operator_acts_on_what_waits_for_a_destination,
    test_suppressed_addresses_are_exported,
    test_what_a_page_tells,
    test_what_is_not_there_is_said_so,
    test_what_is_selected_is_acted_on_for_the_account,
)
from tests.console.test_console_people import (  # noqa: F401 -- as above
    test_a_user_is_added_logs_in_and_is_removed,
    test_the_audit_tells_who_did_what_from_where,
)
from tests.console.test_console_webhooks import (  # noqa: F401 -- as above
    test_a_program_reads_deliveries_page_by_page_and_replays,
    test_deliveries_are_shown_and_sent_again,
)
from tests.support import postgres
from tests.support.api import Program, a_receiver
from tests.support.console import Console, a_console, fill, fill_and_tell
from tests.support.postgres import needs_postgres
from tests.support.receiving import Reception

pytestmark = needs_postgres


@pytest.fixture(scope="module")
def read_only(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Console]:
    with (
        postgres.a_database() as url,
        a_console(tmp_path_factory.mktemp("console"), fill, store=url) as made,
    ):
        yield made


@pytest.fixture
def console(tmp_path: Path) -> Iterator[Console]:
    with postgres.a_database() as url, a_console(tmp_path, fill, store=url) as made:
        yield made


@pytest.fixture
def telling(tmp_path: Path) -> Iterator[Console]:
    with postgres.a_database() as url, a_console(tmp_path, fill_and_tell, store=url) as made:
        yield made


@pytest.fixture
def program(console: Console) -> Program:
    return Program(console=console)


@pytest.fixture
def reception(console: Console, tmp_path: Path) -> Iterator[Reception]:
    with a_receiver(console, tmp_path) as made:
        yield made


def test_who_is_logged_in_at_one_machine_is_so_at_all(tmp_path: Path) -> None:
    """Sessions are in the store. A session that is ended on one of them is over on the other."""
    one, two = tmp_path / "one", tmp_path / "two"
    one.mkdir()
    two.mkdir()
    with (
        postgres.a_database() as url,
        a_console(one, fill, store=url) as here,
        a_console(two, store=url) as there,
    ):
        cookie = f"relayd={here.token(Role.VIEWER)}"
        assert there.get("/messages", Cookie=cookie).status == 200
        here.post("/logout", role=Role.VIEWER)
        assert there.get("/messages", Cookie=cookie).location.startswith("/login")
