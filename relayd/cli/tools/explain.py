"""`relayd explain`: what a code, an event, a status, a setting or an error means, and which page has more."""

import click

from relayd.cli.completing import complete_explained
from relayd.cli.context import NoSuch, json_option
from relayd.cli.output import hanging, paint, printable, show_json


@click.command()
@click.argument("word", nargs=-1, required=True, shell_complete=complete_explained)
@json_option
def explain(*, word: tuple[str, ...], as_json: bool) -> None:
    """Explain a WORD: the code of a reply, an event, a status, a setting, an error, an exit status.

    Such as 452, 4.3.1, site_blocked, deferred, smarthost.tls, DaemonUnreachable or 78. Also categories of bounces, fields
    of events, checks of the doctor, metrics, and the words of the glossary.
    """
    from relayd.config.nearest import nearest  # noqa: PLC0415 -- for those who mistype
    from relayd.explain import lookup  # noqa: PLC0415

    wanted = " ".join(word)
    found = lookup.explain(wanted)
    if not found:
        near = nearest(wanted, lookup.names())
        meant = f"; did you mean {' or '.join(near)}?" if near else ""
        other = (
            f"; from another server: `relayd classify '{wanted}'`" if lookup.is_code(wanted) else ""
        )
        raise NoSuch(printable(f"relayd has no {wanted!r}{other or meant}"))
    for number, entry in enumerate(found):
        if as_json:
            columns = {title.replace(" ", "_"): text for title, text in entry.columns}
            show_json({"name": entry.name, "kind": entry.kind, "page": entry.page, **columns})
            continue
        if number:
            click.echo("")
        click.echo(paint(entry.name, "bold") + paint(f"  {entry.kind}"))
        for title, text in (*entry.columns, ("page", entry.page)):
            click.echo(hanging(f"  {title:<17} ", printable(text)))
    if lookup.is_code(wanted) and not as_json:
        click.echo(printable(f"\nfrom another server: `relayd classify '{wanted} …'`"))
