"""Every page, and the right that it needs."""

from relayd.console.asked import Page
from relayd.console.pages import (
    acting,
    addresses,
    audit,
    bounces,
    destinations,
    doctor,
    entrance,
    importing,
    keys,
    message,
    messages,
    oidc,
    overview,
    password,
    settings,
    test_mail,
    users,
    webhooks,
)
from relayd.policy.console.roles import Scope

PAGES = (
    Page(path="/health", handler=entrance.health, needs=None),
    Page(path="/login", handler=entrance.show_login, needs=None),
    Page(path="/login", handler=entrance.log_in, needs=None, method="POST"),
    Page(path="/login/oidc", handler=oidc.begin, needs=None),
    Page(path="/login/oidc/back", handler=oidc.come_back, needs=None),
    Page(path="/logout", handler=entrance.log_out, method="POST"),
    Page(path="/theme", handler=entrance.set_theme, method="POST"),
    Page(path="/password", handler=password.show),
    Page(path="/password", handler=password.change, method="POST"),
    Page(path="/", handler=overview.show),
    Page(path="/messages", handler=messages.show),
    Page(path="/messages.csv", handler=messages.export),
    Page(path="/messages/act", handler=acting.act, needs=Scope.OPERATE, method="POST"),
    Page(
        path="/messages/act-on-all", handler=acting.act_on_all, needs=Scope.OPERATE, method="POST"
    ),
    Page(path="/messages/{queue_id}", handler=message.show),
    Page(
        path="/messages/{queue_id}/requeue",
        handler=message.requeue,
        needs=Scope.OPERATE,
        method="POST",
    ),
    Page(
        path="/messages/{queue_id}/source",
        handler=message.source,
        needs=Scope.CONTENT,
        method="POST",
    ),
    Page(path="/addresses", handler=addresses.show),
    Page(path="/addresses.csv", handler=addresses.export),
    Page(
        path="/addresses/suppress", handler=addresses.suppress, needs=Scope.OPERATE, method="POST"
    ),
    Page(
        path="/addresses/unsuppress",
        handler=addresses.unsuppress,
        needs=Scope.OPERATE,
        method="POST",
    ),
    Page(path="/addresses/import", handler=importing.show, needs=Scope.OPERATE),
    Page(path="/addresses/import", handler=importing.foresee, needs=Scope.OPERATE, method="POST"),
    Page(
        path="/addresses/import/apply", handler=importing.apply, needs=Scope.OPERATE, method="POST"
    ),
    Page(path="/addresses/{rcpt:path}", handler=addresses.show_one),
    Page(path="/destinations", handler=destinations.show),
    Page(path="/destinations/{key}", handler=destinations.show_one),
    Page(path="/bounces", handler=bounces.show),
    Page(path="/settings", handler=settings.show, needs=Scope.ADMIN),
    Page(path="/settings", handler=settings.look, needs=Scope.ADMIN, method="POST"),
    Page(path="/settings/confirm", handler=settings.confirm, needs=Scope.ADMIN, method="POST"),
    Page(path="/settings/dismiss", handler=settings.dismiss, needs=Scope.ADMIN, method="POST"),
    Page(path="/doctor", handler=doctor.show),
    Page(path="/doctor", handler=doctor.begin, needs=Scope.ADMIN, method="POST"),
    Page(path="/test-mail", handler=test_mail.show, needs=Scope.OPERATE),
    Page(path="/test-mail", handler=test_mail.send, needs=Scope.OPERATE, method="POST"),
    Page(path="/users", handler=users.show, needs=Scope.ADMIN),
    Page(path="/users", handler=users.add, needs=Scope.ADMIN, method="POST"),
    Page(path="/users/change", handler=users.change, needs=Scope.ADMIN, method="POST"),
    Page(path="/users/password", handler=users.set_password, needs=Scope.ADMIN, method="POST"),
    Page(path="/users/sign-out", handler=users.sign_out, needs=Scope.ADMIN, method="POST"),
    Page(path="/users/remove", handler=users.remove, needs=Scope.ADMIN, method="POST"),
    Page(path="/users/{name}", handler=users.show_one, needs=Scope.ADMIN),
    Page(path="/keys", handler=keys.show, needs=Scope.ADMIN),
    Page(path="/keys", handler=keys.add, needs=Scope.ADMIN, method="POST"),
    Page(path="/keys/change", handler=keys.change, needs=Scope.ADMIN, method="POST"),
    Page(path="/keys/remove", handler=keys.remove, needs=Scope.ADMIN, method="POST"),
    Page(path="/webhooks", handler=webhooks.show, needs=Scope.ADMIN),
    Page(path="/webhooks", handler=webhooks.add, needs=Scope.ADMIN, method="POST"),
    *(
        Page(
            path=f"/webhooks/{{number:count}}/{name}", handler=act, needs=Scope.ADMIN, method="POST"
        )
        for name, act in (
            ("change", webhooks.change),
            ("rotate", webhooks.rotate),
            ("test", webhooks.send_test),
            ("replay", webhooks.replay),
            ("remove", webhooks.remove),
        )
    ),
    Page(path="/webhooks/{number:count}", handler=webhooks.show_one, needs=Scope.ADMIN),
    Page(path="/audit", handler=audit.show, needs=Scope.ADMIN),
    Page(path="/audit.csv", handler=audit.export, needs=Scope.ADMIN),
)
