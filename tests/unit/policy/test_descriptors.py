"""What descriptors are for."""

import pytest

from relayd.policy.descriptors import share_out


@pytest.mark.parametrize(
    ("descriptors", "wanted", "clients", "servers"),
    [
        pytest.param(65536, 1000, 1000, 2000, id="the-unit"),
        pytest.param(65536, 100_000, 63_280, 2000, id="more-clients-than-there-can-be"),
        pytest.param(4096, 1000, 1000, 2000, id="enough-for-both"),
        pytest.param(4096, 3000, 1920, 1920, id="half-and-half"),
        pytest.param(2048, 1000, 896, 896, id="too-few"),
        pytest.param(1024, 1000, 384, 384, id="usual-without-systemd"),
        pytest.param(1024, 100, 100, 668, id="few-clients"),
        pytest.param(256, 1000, 64, 64, id="hardly-any"),
        pytest.param(2, 1000, 1, 1, id="none"),
    ],
)
def test_both_sides_have_their_share(
    descriptors: int, wanted: int, clients: int, servers: int
) -> None:
    shares = share_out(descriptors, wanted)
    assert (shares.clients, shares.servers) == (clients, servers)


@pytest.mark.parametrize("descriptors", range(8, 10_000, 37))
@pytest.mark.parametrize("wanted", [1, 50, 1000, 100_000])
def test_more_is_never_shared_out_than_there_is(descriptors: int, wanted: int) -> None:
    shares = share_out(descriptors, wanted)
    assert 1 <= shares.clients <= wanted
    assert 1 <= shares.servers <= 2000
    assert shares.clients + shares.servers <= descriptors
