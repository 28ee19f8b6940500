"""Which of tenant, client, secret, scope or consent is wrong, by what the servers of Microsoft and Google say."""

import pytest

from relayd.policy.oauth2.refusals import REMEDIES, Wrong, in_words, passes, wrong_in

CASES = {
    "no tenant": ("invalid_request", "AADSTS90002: Tenant 'x' not found.", Wrong.TENANT),
    "no domain": ("invalid_request", "AADSTS900023: Specified tenant identifier", Wrong.TENANT),
    "no application": (
        "unauthorized_client",
        "AADSTS700016: Application with identifier 'x' was not found in the directory",
        Wrong.CLIENT,
    ),
    "secret": ("invalid_client", "AADSTS7000215: Invalid client secret provided.", Wrong.SECRET),
    "old secret": (
        "invalid_client",
        "AADSTS7000222: The provided client secret keys",
        Wrong.SECRET,
    ),
    "scope": ("invalid_scope", "AADSTS70011: The provided value for scope is not", Wrong.SCOPE),
    "resource": ("invalid_resource", "AADSTS500011: The resource principal named", Wrong.SCOPE),
    "consent": ("invalid_grant", "AADSTS65001: The user or administrator has not", Wrong.CONSENT),
    "second factor": ("interaction_required", "AADSTS50076: Due to a configuration", Wrong.SIGN_IN),
    "old refresh token": ("invalid_grant", "AADSTS700082: The refresh token has", Wrong.SIGN_IN),
    "disabled user": ("invalid_grant", "AADSTS50057: The user account is disabled", Wrong.USER),
    "a number that is new": ("invalid_client", "AADSTS12345678: x", Wrong.SECRET),
    "Google, refresh token": ("invalid_grant", "Token has been expired or revoked.", Wrong.SIGN_IN),
    "Google, signature": ("invalid_grant", "Invalid JWT Signature.", Wrong.KEY),
    "Google, clock": (
        "invalid_grant",
        "Invalid JWT: Token must be a short-lived token (60 minutes)",
        Wrong.CLOCK,
    ),
    "Google, user": ("invalid_grant", "Invalid email or User ID", Wrong.USER),
    "Google, account": ("invalid_grant", "Invalid grant: account not found", Wrong.KEY),
    "Google, client": ("invalid_client", "The OAuth client was not found.", Wrong.CLIENT),
    "Google, secret": ("invalid_client", "The provided client secret is invalid.", Wrong.SECRET),
    "Google, delegation": (
        "unauthorized_client",
        "Client is unauthorized to retrieve access tokens using this method",
        Wrong.CONSENT,
    ),
    "refused by somebody": ("access_denied", "", Wrong.CONSENT),
    "anything": ("unsupported_grant_type", "", Wrong.SETTINGS),
}


@pytest.mark.parametrize(("error", "description", "wrong"), CASES.values(), ids=CASES)
def test_what_is_wrong(error: str, description: str, wrong: Wrong) -> None:
    assert wrong_in(error, description) is wrong
    assert not passes(error, description)
    told = in_words(wrong, error, description, ())
    assert told.startswith(f"the token server refuses {wrong} ({error}")
    assert told.endswith(REMEDIES[wrong])


def test_every_wrong_has_a_remedy() -> None:
    assert set(REMEDIES) == set(Wrong)


@pytest.mark.parametrize(
    ("error", "description"),
    [("slow_down", ""), ("server_error", ""), ("invalid_grant", "AADSTS50196: loop")],
)
def test_what_passes(error: str, description: str) -> None:
    assert passes(error, description)
