"""`argosy serve`: models in the foreground, from a handler file, a folder or an archive."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import click

from argosy.cli.banner import Run, ServerStatus, banner, failures, load_server
from argosy.cli.ephemeral import ephemeral_store
from argosy.cli.interruption import stoppable
from argosy.cli.options import fail, log_habits, with_settings
from argosy.cli.place import current_folder
from argosy.config import Config, Loaded, check_host, container_defaults, load_config, parse_target, read_host
from argosy.errors import ArgosyError, ErrorCode
from argosy.store.repository import scan_store


@click.command("serve", short_help="Serve models in the foreground.")
@click.argument("targets", metavar="[TARGET]...", nargs=-1)
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
    """Serve each TARGET until Ctrl-C: a handler file, one of its functions, a model folder, an archive, a URL, any of them as NAME=TARGET.

    ALL stands for every model of the model store. Without a TARGET the models of the configuration are served; in a container of Amazon SageMaker
    those of /opt/ml/model.

    \b
    argosy serve handler.py
    argosy serve handler.py:function
    argosy serve --port 9000 --workers 1 sentiment=model-store/sentiment.mar
    argosy serve --model-store model-store ALL
    """
    flags = {
        **address_flags(host, port, management_port), **settings,
        **{name: text for name, text in (("model_store", model_store), ("log_config", log_config)) if text is not None},
        **({"default_workers_per_model": str(workers)} if workers else {}),
    }
    with fail():
        sys.exit(serve([*targets, *models], flags, os.environ, current_folder(), config_file=config_file, server=load_server))


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


@stoppable()
def serve(
    names: Sequence[str], flags: Mapping[str, str], environ: Mapping[str, str], cwd: Path, *, config_file: str | None, server: Callable[[], Run]
) -> int:
    """Run a server until its end and return the exit status. Raises `ArgosyError` when it cannot start, SystemExit when it is stopped before."""
    if [name.upper() for name in names] == ["ALL"]:
        names, flags = [], {**flags, "load_models": "ALL"}
    container = None if names or "load_models" in flags or "model_store" in flags else container_defaults(environ)
    habits = log_habits(is_container=container is not None)
    host = read_host()
    check_host(host)
    loaded = load_config(flags, environ, cwd, config_file=config_file, host=host, defaults=container, habits=habits)
    for line in (*loaded.warnings, *loaded.notes[1:]):
        click.echo(f"note: {line}", err=True)
    config = loaded.config

    def started(status: ServerStatus) -> None:
        # a reader that has gone is no reason to end
        with contextlib.suppress(OSError):
            _show(status, loaded)

    if container is not None:
        _check_models(config)
    if not names:
        return server()(config, targets=config.start_targets, on_ready=started)
    asked = [parse_target(name) for name in names]
    with ephemeral_store(asked, cwd, config.model_store, config.temp_dir) as (store, targets):
        return server()(dataclasses.replace(config, model_store=store), targets=targets, on_ready=started)


def _check_models(config: Config) -> None:
    """Raises `ArgosyError` MODEL_NOT_FOUND when a container would start without a model and wait for none."""
    store = config.model_store
    if config.loads_all and store is not None and not scan_store(store, has_default=config.default_service_handler is not None):
        message = f"there is no model in {store}: put a folder with MAR-INF/MANIFEST.json, an archive, or files for default_service_handler there"
        raise ArgosyError(ErrorCode.MODEL_NOT_FOUND, message)


def _show(status: ServerStatus, loaded: Loaded) -> None:
    click.echo("\n".join(banner(status, None if loaded.file is None else str(loaded.file))))
    for line in failures(status):
        click.echo(line, err=True)
