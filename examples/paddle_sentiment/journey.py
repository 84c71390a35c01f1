"""From training to a SageMaker endpoint, on this machine: train, pack, build the image, serve it as an endpoint, ask it, deploy it, remove it.

Nothing of this needs an AWS account: the endpoint runs in a container here, and the deployment goes to an account that moto plays.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import engine as engines
from background import JourneyError, running
from engine import BASE, Engine, do
from practice_aws import KEYS, practice_aws

HERE = Path(__file__).resolve().parent
BIN = Path(sys.executable).parent
NAME = "sentiment"
EXPECTED = "b'Prediction : This is a Positive review'"
SAMPLE = "This is an amazing movie."
START_S = 300


@dataclass(frozen=True)
class Places:
    """Where things are: everything that is made lies in `work`, but for images."""

    work: Path

    @property
    def archive(self) -> Path:
        """What is deployed."""
        return self.work / "model-store" / "paddle_sentiment.tar.gz"

    @property
    def made(self) -> Path:
        """The names of the images that were made, line by line, so that these are removed and no others."""
        return self.work / "artifacts" / "images-made"


class Progress:
    """Tells what happens now, what is typed for it, and how long everything took."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._began = time.monotonic()
        self._number = 0

    def step(self, title: str, why: str) -> None:
        """A step begins."""
        self._number += 1
        print(f"\n== {self._number} of {self._total}, {self.seconds} s: {title}\n   {why}", flush=True)

    @property
    def seconds(self) -> int:
        """Since the beginning."""
        return round(time.monotonic() - self._began)


def typed(command: list[str]) -> list[str]:
    """Show a command as one would type it; the command with the programs of this environment."""
    print(f"$ {shlex.join(command)}", flush=True)
    program = BIN / command[0]
    return [str(program) if program.exists() else command[0], *command[1:]]


# -- images ----------------------------------------------------------------------------------------------------------


def build_images(engine: Engine, tag: str, places: Places) -> None:
    """The base image if there is none, and the one of the Dockerfile, of which layers that are there are not built again."""
    made = set(places.made.read_text().split()) if places.made.exists() else set()
    for image in (BASE.partition("-py")[0], BASE, tag):
        if not engine.has(image):
            made.add(image)
    places.made.write_text("\n".join(sorted(made)))
    if engine.has(BASE):
        print(f"{BASE} is there already")
    else:
        engine.build_base()
    print((HERE / "Dockerfile.paddle.mms").read_text())
    print(f"$ {engine.tool} build -t {tag} -f Dockerfile.paddle.mms .", flush=True)
    engine.build(tag, HERE / "Dockerfile.paddle.mms")


def remove_images(engine: Engine | None, places: Places) -> None:
    """Remove what `build_images` made, and the private storage."""
    if engine is not None and engine.private is None and places.made.exists():
        for image in reversed(places.made.read_text().split()):
            engine.remove(image)
    engines.remove_private()
    places.made.unlink(missing_ok=True)


# -- the endpoint ----------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def endpoint(engine: Engine, tag: str, places: Places, scratch: Path) -> Iterator[dict[str, str]]:
    """The endpoint in front of a container; the variable that sends clients there."""
    command = ["argosy", "sagemaker", "local", "--name", NAME, "--model-data", str(places.archive), "--image", tag, "--engine", engine.tool]
    ready = r"export (AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME)=(\S+)"
    with running(typed(command), {**engine.environ, **KEYS}, scratch / "endpoint.log", ready, START_S) as found:
        print(f"export {found[1]}={found[2]}")
        yield {found[1]: found[2]}


def ask(environ: Mapping[str, str]) -> None:
    """Run the client and show its answer. Raises `JourneyError` if it is not the expected one."""
    command = typed(["python", "paddle_test_client.py"])
    done = subprocess.run(command, cwd=HERE, env=dict(environ), stdout=subprocess.PIPE, text=True, check=False)
    print(done.stdout, end="", flush=True)
    if done.returncode or done.stdout.strip() != EXPECTED:
        raise JourneyError(f"the client should have printed {EXPECTED}")


def deploy(environ: Mapping[str, str], tag: str, places: Places, scratch: Path) -> None:
    """Deploy, look, ask, delete. Raises `JourneyError`."""
    sample = scratch / "review.txt"
    sample.write_text(SAMPLE)
    request = ["--sample", str(sample), "--content-type", "application/text"]
    try:
        do(typed(["argosy", "sagemaker", "deploy", NAME, "--model", str(places.archive), "--image", tag, *request]), environ)
        do(typed(["argosy", "sagemaker", "status", NAME]), environ)
        ask(environ)
    finally:
        do(typed(["argosy", "sagemaker", "delete", NAME, "--yes"]), environ)


# -- the command -----------------------------------------------------------------------------------------------------


def options() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="journey", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="What is there already is not made again, so after a failure the same command goes on. Training takes two minutes, with --size small\n"
        "seconds; PaddlePaddle is installed twice, here and in the image, with 800 MB each.")  # fmt: skip
    parser.add_argument("--size", choices=["book", "small"], default="book", help="size of the network (default: %(default)s)")
    own = "private is podman with a storage of its own in build/journey, for machines without a container engine"
    kinds = ["docker", "podman", "private"]
    parser.add_argument("--engine", choices=kinds, help=f"what builds and runs images; {own} (default: the first that can be used)")
    parser.add_argument("--tag", default="paddle-mms", help="name of the image (default: %(default)s)")
    parser.add_argument("--no-deploy", dest="deploy", action="store_false", help="end with the prediction of the endpoint on this machine")
    parser.add_argument("--keep", action="store_true", help="keep the images, so that the next run is quicker")
    parser.add_argument("--clean", action="store_true", help="only remove what an earlier run left: images, model and archive")
    return parser.parse_args()


def check_before(chosen: argparse.Namespace) -> str:
    """The engine's kind. Raises `JourneyError` when something is missing that would otherwise be missed after ten minutes."""
    if chosen.deploy and not chosen.clean and shutil.which("docker-registry") is None:
        how = "apt-get install --no-install-recommends docker-registry"
        raise JourneyError(f"the deployment pushes the image to a registry: {how}\nor leave the deployment out: --no-deploy")
    return engines.choose(chosen.engine)


def travel(chosen: argparse.Namespace, places: Places) -> None:
    """All steps. Raises `JourneyError`."""
    kind, progress = check_before(chosen), Progress(6 if chosen.deploy else 5)
    progress.step("train and pack the model", "reviews -> network -> model-store/paddle_sentiment.tar.gz")
    do([str(HERE / "prepare"), "--size", chosen.size], os.environ)
    progress.step("build the container image", f"the server, and PaddlePaddle on top of it; by {kind}")
    engine = engines.ready(kind)
    build_images(engine, chosen.tag, places)
    with tempfile.TemporaryDirectory(prefix="argosy-journey-") as folder, ExitStack() as stack:
        progress.step("start the endpoint on this machine", "what SageMaker does: unpack the archive, run the container, wait until it is healthy")
        address = stack.enter_context(endpoint(engine, chosen.tag, places, Path(folder)))
        progress.step("ask it", "with the client that any SageMaker endpoint has")
        ask({**os.environ, **KEYS, **address})
        if chosen.deploy:
            progress.step("deploy it, look at it, delete it", "to an AWS account that moto plays; its endpoint is the one on this machine")
            account = stack.enter_context(practice_aws())
            print("\n".join(f"export {name}={value}" for name, value in account.items() if "URL" in name))
            deploy({**engine.environ, **account, **address}, chosen.tag, places, Path(folder))
        progress.step("clean up", "endpoint and account are stopped" + (", images are kept" if chosen.keep else ", images are removed"))
    if not chosen.keep:
        remove_images(engine, places)
    print(f"Everything works ({progress.seconds} s). The archive is {places.archive}")


def clean(chosen: argparse.Namespace, places: Places) -> None:
    """Remove what earlier runs left. Raises `JourneyError`."""
    kind = check_before(chosen) if places.made.exists() else "private"
    remove_images(None if kind == "private" else engines.ready(kind), places)
    for folder in ("artifacts", "model-store"):
        shutil.rmtree(places.work / folder, ignore_errors=True)


def main() -> None:
    """Ends with status 1 and the reason if something is not as promised; whatever happens, no process and no container is left."""
    chosen = options()
    places = Places(Path(os.environ.get("ARGOSY_PADDLE_WORK", HERE)))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        clean(chosen, places) if chosen.clean else travel(chosen, places)
    except JourneyError as error:
        left = "\nWhat was made is kept: the same command goes on from there, and with --clean removes it." if places.made.exists() else ""
        sys.exit(f"journey: {error}{left}")
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
