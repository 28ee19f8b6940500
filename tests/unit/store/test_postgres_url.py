"""URLs of a PostgreSQL server: what they say, and what is no setting."""

import pytest

from relayd.store.postgres_url import PostgresUrl, read_url, with_password_file

SOCKETS = (("/run/postgresql", 5432),)


def told(
    *hosts: tuple[str, int], user: str = "relayd", has_tls: bool = True, certificate: str = ""
) -> PostgresUrl:
    return PostgresUrl(
        hosts=hosts,
        user=user,
        database="mail",
        has_tls=has_tls,
        root_certificate=certificate,
        password_file="",
    )


GOOD = {
    "postgresql://relayd@db.example.org/mail": told(("db.example.org", 5432)),
    "postgres://relayd@db.example.org:6000/mail": told(("db.example.org", 6000)),
    "postgresql://relayd@a.test,b.test:6000/mail?sslmode=verify-full": told(
        ("a.test", 5432), ("b.test", 6000)
    ),
    "postgresql://relayd@192.0.2.1/mail?sslrootcert=/etc/ca.pem": told(
        ("192.0.2.1", 5432), certificate="/etc/ca.pem"
    ),
    "postgresql://relayd@[2001:db8::1]:6000/mail": told(("2001:db8::1", 6000)),
    "postgresql://relayd@127.0.0.1/mail": told(("127.0.0.1", 5432), has_tls=False),
    "postgresql://relayd@[::1]/mail?sslmode=disable": told(("::1", 5432), has_tls=False),
    "postgresql://relayd@localhost/mail?sslmode=verify-full": told(("localhost", 5432)),
    "postgresql:///mail": told(*SOCKETS, user="", has_tls=False),
    "postgresql://relayd@/mail": told(*SOCKETS, has_tls=False),
    "postgresql://relayd@%2Ftmp%2Fa/mail": told(("/tmp/a", 5432), has_tls=False),
    "postgresql://relayd@/mail?host=/tmp/a&port=6000": told(("/tmp/a", 6000), has_tls=False),
    "postgresql://re%20layd@/mail?host=a.test,b.test&port=1,2": told(
        ("a.test", 1), ("b.test", 2), user="re layd"
    ),
}


@pytest.mark.parametrize(("url", "wanted"), GOOD.items())
def test_what_a_url_says(url: str, wanted: PostgresUrl) -> None:
    assert read_url(url) == wanted


BAD = {
    "postgresql://relayd:hunter2@db.example.org/mail": "has a password in it",
    "postgresql://relayd@db.example.org/mail?password=hunter2": "has a password in it",
    "postgresql://relayd@db.example.org": 'expected "postgresql://',
    "postgresql://relayd@db.example.org/": 'expected "postgresql://',
    "postgresql://relayd@db.example.org/a/b": 'expected "postgresql://',
    "postgresql://relayd@db.example.org/mail#a": 'expected "postgresql://',
    "postgresql://relayd@db.example.org:x/mail": 'expected "postgresql://',
    "postgresql://relayd@db.example.org:65536/mail": 'expected "postgresql://',
    "postgresql://relayd@a.test,/mail": 'expected "postgresql://',
    "postgresql://relayd@[2001:db8::1/mail": 'expected "postgresql://',
    "postgresql:mail": 'expected "postgresql://',
    "postgres:password=hunter2": 'expected "postgresql://',
    "postgresql://relayd@/mail?hunter2": 'expected "postgresql://',
    "postgresql://relayd@/mail?host=a&port=1,2": "expected as many ports as hosts",
    "postgresql://relayd@/mail?host=a,&port=1": 'expected "postgresql://',
    "postgresql://relayd@/mail?options=-c": "expected no parameters but",
    "postgresql://relayd@/mail?sslmode=disable&sslmode=prefer": "expected no parameters but",
    "postgresql://relayd@db.example.org/mail?sslmode=require": "expected sslmode=verify-full: with",
    "postgresql://relayd@db.example.org/mail?sslmode=disable": "expected sslmode=verify-full: with",
    "postgresql://relayd@127.0.0.1,a.test/mail?sslmode=disable": "expected sslmode=verify-full",
    "postgresql://relayd@127.0.0.1/mail?sslmode=prefer": "verify-full or sslmode=disable",
    "postgresql:///mail?sslrootcert=/etc/ca.pem": "has sslrootcert, which is of no use",
}


@pytest.mark.parametrize(("url", "words"), BAD.items())
def test_what_is_no_setting_is_refused_without_repeating_it(url: str, words: str) -> None:
    """None of it is told again: a part may be the password, in the wrong place."""
    with pytest.raises(ValueError, match=words) as error:
        read_url(url)
    assert "hunter2" not in str(error.value)


@pytest.mark.parametrize(
    "url", ["postgresql:///mail", "postgresql://relayd@a.test/mail?sslmode=verify-full"]
)
def test_the_store_is_told_where_the_password_is(url: str) -> None:
    assert read_url(with_password_file(url, "/etc/a & b")).password_file == "/etc/a & b"


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql:///mail", "postgresql:///run/postgresql/mail"),
        (
            "postgresql://relayd@[2001:db8::1],a.test:6000/mail?sslrootcert=/ca.pem",
            "postgresql://relayd@[2001:db8::1],a.test:6000/mail",
        ),
    ],
)
def test_what_people_know_it_by(url: str, shown: str) -> None:
    assert read_url(url).shown == shown
