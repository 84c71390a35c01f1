"""`argosy token`: makes a bearer token and the line that the server keeps of it."""

from __future__ import annotations

import click

from argosy.protocols.tokens import SCOPES, new_token, parse_scopes


@click.command("token", short_help="Make a bearer token.")
@click.argument("name")
@click.option(
    "--scope", "scopes", multiple=True, type=click.Choice([scope.value for scope in SCOPES]),
    help="What it is for; may be repeated. Default: inference.")
def token_command(name: str, scopes: tuple[str, ...]) -> None:
    """Make a token for NAME: the secret goes to standard error, for its owner; the line for the server to standard output.

    The server needs the line alone, in its tokens_file: argosy token alice >> tokens
    """
    try:
        secret, token = new_token(name, parse_scopes(",".join(scopes) or "inference"))
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="NAME") from None
    click.echo(f"The token, shown only now: {secret}", err=True)
    click.echo(str(token))
