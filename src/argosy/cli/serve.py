"""`argosy serve`: models in the foreground, from a handler file, a folder or an archive."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import click

from argosy.cli.banner import Run, ServerStatus, banner, failures, load_server
from argosy.cli.options import fail, with_settings
from argosy.config import Loaded, Target, load_config, parse_target, read_host
from argosy.errors import ArgosyError, ErrorCode

_GENERIC_STEMS = frozenset({"handler", "model", "service"})
_REMOTE = re.compile(r"https?://", re.IGNORECASE)


@click.command("serve", short_help="Serve models in the foreground.")
@click.argument("targets", metavar="TARGET...", nargs=-1)
@click.option("--host", help="Where predictions are served. Default: 127.0.0.1.")
@click.option("--port", type=click.IntRange(0, 65535), help="Port of predictions, 0 for a free one. Default: 8080.")
@click.option("--management-port", type=click.IntRange(0, 65535), help="Port of management, on 127.0.0.1. Default: the port after the other.")
@click.option("--workers", type=click.IntRange(1, 10000), help="Workers per model. Default: one per GPU, else one per processor.")
@click.option("--models", multiple=True, metavar="[NAME=]TARGET", help="The same as TARGET; may be repeated.")
@click.option("--model-store", help="Folder in which names and relative paths are looked up.")
@click.option("--log-config", help="Logging configuration.")
@with_settings
def serve_command(
    targets: tuple[str, ...], host: str | None, port: int | None, management_port: int | None, workers: int | None, models: tuple[str, ...],
    model_store: str | None, log_config: str | None, config_file: str | None, settings: Mapping[str, str],
) -> None:
    """Serve each TARGET until Ctrl-C: a handler file, a model folder, an archive, a URL, any of them as NAME=TARGET.

    \b
    argosy serve handler.py
    argosy serve --port 9000 --workers 1 sentiment=model-store/sentiment.mar
    """
    flags = {
        **address_flags(host, port, management_port), **settings,
        **{name: text for name, text in (("model_store", model_store), ("log_config", log_config)) if text is not None},
        **({"default_workers_per_model": str(workers)} if workers else {}),
    }
    with fail():
        sys.exit(serve([*targets, *models], flags, os.environ, Path.cwd(), config_file=config_file, server=load_server))


def address_flags(host: str | None, port: int | None, management_port: int | None) -> dict[str, str]:
    """The addresses that the options ask for. Management stays on this machine: whoever reaches it may run code."""
    flags: dict[str, str] = {}
    if host is not None or port is not None:
        name = host or "127.0.0.1"
        flags["inference_address"] = f"http://{f'[{name}]' if ':' in name else name}:{8080 if port is None else port}"
    if management_port is None and port is not None:
        management_port = port + 1 if 0 < port < 65535 else 0
    if management_port is not None:
        flags["management_address"] = f"http://127.0.0.1:{management_port}"
    return flags


def serve(
    names: Sequence[str], flags: Mapping[str, str], environ: Mapping[str, str], cwd: Path, *, config_file: str | None, server: Callable[[], Run]
) -> int:
    """Run a server until its end and return the exit status. Raises `ArgosyError` when it cannot start."""
    loaded = load_config(_quiet(flags, environ), environ, cwd, config_file=config_file, host=read_host())
    for line in (*loaded.warnings, *loaded.notes[1:]):
        click.echo(f"note: {line}", err=True)
    targets = [resolve_target(parse_target(name), cwd, loaded.config.model_store) for name in names] or list(loaded.config.start_targets)

    def started(status: ServerStatus) -> None:
        _show(status, loaded)

    return server()(loaded.config, targets=targets, on_ready=started)


def _quiet(flags: Mapping[str, str], environ: Mapping[str, str]) -> dict[str, str]:
    """A terminal gets events only and the folder no log files, unless somebody asks for them."""
    quiet = {"log_console": "events"}
    if "LOG_LOCATION" not in environ and "ARGOSY_LOG_LOCATION" not in environ:
        quiet["log_location"] = "none"
    if "METRICS_LOCATION" not in environ and "ARGOSY_METRICS_LOCATION" not in environ:
        quiet["metrics_location"] = "none"
    return {**quiet, **flags}


def _show(status: ServerStatus, loaded: Loaded) -> None:
    click.echo("\n".join(banner(status, None if loaded.file is None else str(loaded.file))))
    for line in failures(status):
        click.echo(line, err=True)


def resolve_target(target: Target, cwd: Path, store: Path | None) -> Target:
    """The target with an absolute path, and a name if it is a plain handler file. Raises `ArgosyError` MODEL_NOT_FOUND."""
    if _REMOTE.match(target.url_or_path):
        return target
    candidates = [cwd / target.url_or_path, *([store / target.url_or_path] if store else [])]
    path = next((path for path in candidates if path.exists()), None)
    if path is None:
        where = " or ".join(str(path.parent) for path in candidates)
        advice = "give a handler file, a model folder or an archive"
        raise ArgosyError(ErrorCode.MODEL_NOT_FOUND, f"there is no {target.url_or_path} in {where}: {advice}")
    resolved = path.resolve()
    return Target(target.name or (handler_name(resolved) if resolved.suffix == ".py" else None), str(resolved))


def handler_name(path: Path) -> str:
    """What a plain handler file is called: after itself, or after its folder when its own name says nothing."""
    name = path.parent.name if path.stem in _GENERIC_STEMS and path.parent.name else path.stem
    return re.sub(r"[^A-Za-z0-9._-]", "_", name).lstrip("._-") or "model"
