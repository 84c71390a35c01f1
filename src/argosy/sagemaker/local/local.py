"""A local endpoint for tests and notebooks: a context manager that runs the runtime in a thread of its own."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import threading
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from argosy.sagemaker.local.runtime import Runtime
from argosy.sagemaker.local.settings import ContainerSettings, EndpointSettings, RuntimeSettings, VariantSettings

ADDRESS = "AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME"
"""The variable that sends SageMaker's clients here."""


def one_endpoint(
    name: str, model_data: str = "", *, image: str = "", env: Mapping[str, str] | None = None, instances: int = 1, multi_model: bool = False
) -> EndpointSettings:
    """An endpoint with one variant of one container. Raises `ArgosyError` INVALID_CONFIG."""
    container = ContainerSettings(str(model_data), image, env=dict(env or {}), multi_model=multi_model)
    return EndpointSettings(name, (VariantSettings(containers=(container,), instances=instances),))


class LocalEndpoint:
    """Endpoints of this machine, up inside the block and gone after it.

    `settings` is a name, with `model_data` (an archive, a folder or `s3://…`) and `image` for the one endpoint to run, or the settings of
    several. Entering the block raises `ArgosyError` when a container does not become healthy: `detail` has what it printed last.

        with LocalEndpoint("sentiment", "model.tar.gz") as endpoint:
            endpoint.client().invoke_endpoint(EndpointName="sentiment", Body=b"Great!")
    """

    def __init__(
        self, settings: str | RuntimeSettings, model_data: str | Path = "", *, image: str = "", env: Mapping[str, str] | None = None, port: int = 0,
        multi_model: bool = False,
    ) -> None:
        if isinstance(settings, str):
            endpoint = one_endpoint(settings, str(model_data), image=image, env=env, multi_model=multi_model)
            settings = RuntimeSettings((endpoint,), port=port)
        self.settings = settings
        self._runtime = Runtime(settings)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="argosy-local-endpoint", daemon=True)

    def __repr__(self) -> str:
        return f"<LocalEndpoint {self._runtime!r}>"

    @property
    def url(self) -> str:
        """Where it is."""
        return self._runtime.url

    @property
    def logs(self) -> Path:
        """The folder with what the containers print: `ENDPOINT/VARIANT/INSTANCE.log`."""
        return self._runtime.logs

    @property
    def environ(self) -> dict[str, str]:
        """What sends the clients of another process here."""
        return {ADDRESS: self.url}

    def client(self) -> Any:
        """A client of boto3 for it, with keys that mean nothing, so that none of yours are used. Needs boto3."""
        session = importlib.import_module("boto3").session.Session(
            aws_access_key_id="local", aws_secret_access_key="local", region_name=self.settings.region)  # noqa: S106 - it means nothing
        return session.client("sagemaker-runtime", endpoint_url=self.url)

    def __enter__(self) -> LocalEndpoint:
        self._thread.start()
        with contextlib.ExitStack() as undo:
            undo.callback(self._close)
            asyncio.run_coroutine_threadsafe(self._runtime.start(), self._loop).result()
            undo.pop_all()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self._close()

    def _close(self) -> None:
        try:
            asyncio.run_coroutine_threadsafe(self._end(), self._loop).result()
        finally:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()

    async def _end(self) -> None:
        """Stop it, also in the middle of its start."""
        others = asyncio.all_tasks() - {task for task in (asyncio.current_task(),) if task is not None}
        if not self._runtime.is_up:
            for task in others:
                task.cancel()
            await asyncio.gather(*others, return_exceptions=True)
        await self._runtime.stop()
        await asyncio.get_running_loop().shutdown_default_executor()
