"""The API over a queue in PostgreSQL: lists, cursors, events and acts are as over a file."""

from collections.abc import Iterator

import pytest

from tests.console.test_console_api import (  # noqa: F401 -- run here once more
    fill_more,
    own,
    test_a_cursor_is_good_for_its_list_and_its_key,
    test_a_key_hears_of_what_it_submitted,
    test_a_list_is_imported_after_a_look_at_it,
    test_a_message_has_all_that_is_known,
    test_a_program_acts_on_what_a_selector_matches,
    test_a_program_reads_what_a_message_says,
    test_a_stream_goes_on_where_it_broke_off,
    test_a_stream_tells_what_happens_from_now_on,
    test_all_recipients_come_page_by_page,
    test_events_go_on_from_a_cursor,
)
from tests.support import postgres
from tests.support.api import Program
from tests.support.console import Console, a_console
from tests.support.postgres import needs_postgres

pytestmark = needs_postgres


@pytest.fixture(scope="module")
def console(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Console]:
    with (
        postgres.a_database() as url,
        a_console(tmp_path_factory.mktemp("api"), fill_more, store=url) as made,
    ):
        yield made


@pytest.fixture(scope="module")
def program(console: Console) -> Program:
    return Program(console=console)
