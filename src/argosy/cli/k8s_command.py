"""`argosy k8s`: manifests for Kubernetes and KServe, on standard output or in a folder."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from argosy.cli.options import fail
from argosy.k8s import bundle
from argosy.k8s.application import CPU, FETCHER, Access, Application, Exposure, Resources, Scaling, Shutdown, check, parse_source
from argosy.k8s.grammar import (
    check_image,
    check_label,
    check_metric,
    check_name,
    check_quantity,
    check_service_name,
    check_text,
    check_variable,
    refuse,
)  # fmt: skip
from argosy.protocols.tokens import parse_tokens

_MOST_TOKENS = 1 << 20
_SECONDS = click.IntRange(0, 86400)
_CPU_TARGET, _OTHER_TARGET = 70, 10
_OPTIONS = (
    click.option("--image", required=True, help="Image to run, as `argosy docker build` makes it."),
    click.option("--model", help="Where models are if not in the image: pvc://CLAIM/FOLDER, or a URL (s3, gs, hf, https …) to fetch at each start."),
    click.option("--fetch-image", help=f"Image that fetches them, called with URL and folder. Default: {FETCHER}."),
    click.option("--fetch-secret", metavar="SECRET", help="Secret whose entries are environment variables of the fetching container."),
    click.option("--namespace", help="Namespace of everything. Default: whatever kubectl uses."),
    click.option("--replicas", type=click.IntRange(1), help="How many pods. Default: 2."),
    click.option("--scale", metavar="MIN:MAX", help="Scale between so many pods instead."),
    click.option("--scale-on", metavar="METRIC", help="cpu, or a metric of the pods as argosy_queue_jobs. Default: cpu."),
    click.option("--scale-target", type=click.IntRange(1), help="Per cent of the processors, or the metric's value for a pod. Default: 70, or 10."),
    click.option("--cpu", default="1", show_default=True, help="Processors of a pod, which decide how many workers a model has."),
    click.option("--memory", default="2Gi", show_default=True, help="Memory of a pod."),
    click.option("--gpu", type=click.IntRange(0), default=0, metavar="N", help="GPUs of a pod. Default: none."),
    click.option("--scratch", default="4Gi", show_default=True, help="Room for unpacked archives and temporary files."),
    click.option("--workers", type=click.IntRange(1), help="Workers of each model. Default: one per processor, or per GPU."),
    click.option("--drain", type=_SECONDS, default=30, show_default=True, help="Seconds for answering what was accepted when a pod ends."),
    click.option("--settle", type=_SECONDS, default=10, show_default=True, help="Seconds before that in which requests still arrive."),
    click.option("--startup-timeout", type=click.IntRange(5, 86400), default=600, show_default=True, help="Seconds for loading the models."),
    click.option("--env", "environment", multiple=True, metavar="NAME=VALUE", help="Environment variable of the server; may be repeated."),
    click.option("--tokens", metavar="FILE", type=click.Path(path_type=Path), help="File with lines of `argosy token`, for a Secret."),
    click.option("--tokens-secret", metavar="SECRET", help="Secret that has such lines already, under the key tokens."),
    click.option("--scrape-secret", metavar="SECRET", help="Secret with Prometheus' own token, under the key token."),
    click.option("--service-account", metavar="NAME", help="Service account of the pods."),
    click.option("--pull-secret", metavar="SECRET", help="Secret for the registry of the image."),
    click.option("--ingress", metavar="HOST", help="Make an Ingress for this host, of predictions only."),
    click.option("--ingress-class", metavar="NAME", help="Its class."),
    click.option("--ingress-tls", metavar="SECRET", help="Secret with its certificate."),
    click.option("--no-monitor", is_flag=True, help="Without ServiceMonitor, for clusters without the operator of Prometheus."),
    click.option("--kserve", is_flag=True, help="A ServingRuntime and an InferenceService of KServe, which makes the rest."),
    click.option("--output", type=click.Path(path_type=Path), metavar="FOLDER", help="Write a file for each object, and kustomization.yaml."),
    click.option("--force", is_flag=True, help="Replace the files that are there."),
)


def _with_options(function: Callable[..., None]) -> Callable[..., None]:
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


@click.command("k8s", short_help="Write manifests for Kubernetes and KServe.")
@click.argument("name")
@_with_options
def k8s_command(name: str, output: Path | None, force: bool, **given: Any) -> None:
    """Write the manifests that run an image on Kubernetes under NAME. No cluster is asked, and nothing is applied.

    \b
    argosy k8s words --image registry.example/words:1 | kubectl apply -f -
    argosy k8s words --image registry.example/words:1 --scale 2:8 --output deploy
    argosy k8s words --image registry.example/argosy:1 --model s3://bucket/words --kserve
    """
    with fail():
        application = _application(name, given)
        if output is None:
            if force:
                raise refuse("--force is for --output: name a folder, or leave it out")
            click.echo(bundle.stream(application), nl=False)
            return
        texts = bundle.files(application)
        bundle.write(output, texts, force=force)
        click.echo(f"{len(texts)} files are in {output}; next: kubectl apply -k {output}")


def _application(name: str, given: Mapping[str, Any]) -> Application:
    """What the options say. Raises `ArgosyError` INVALID_REQUEST."""
    return check(Application(
        check_service_name(name), check_image(given["image"], "--image"), _checked(check_label, given, "namespace"),
        _source(given), _resources(given), _scaling(given), Shutdown(given["drain"], given["settle"]), given["startup_timeout"],
        _exposure(given), _access(given), _variables(given["environment"]), _checked(check_name, given, "service_account"),
        _checked(check_name, given, "pull_secret"), not given["no_monitor"], given["kserve"],
    ))  # fmt: skip


def _checked(checker: Callable[[str, str], str], given: Mapping[str, Any], option: str) -> str | None:
    """The text of an option, None if it was not given."""
    return None if given[option] is None else checker(given[option], f"--{option.replace('_', '-')}")


def _source(given: Mapping[str, Any]) -> Any:
    image, secret = _checked(check_image, given, "fetch_image"), _checked(check_name, given, "fetch_secret")
    is_fetched = given["model"] is not None and not given["model"].startswith("pvc:")
    if (image or secret) and not is_fetched:
        raise refuse("--fetch-image and --fetch-secret are for models that are fetched: name a URL with --model, or leave them out")
    return parse_source(given["model"], image or FETCHER, secret)


def _resources(given: Mapping[str, Any]) -> Resources:
    return Resources(
        check_quantity(given["cpu"], "--cpu", "2 or 500m", "1m"), check_quantity(given["memory"], "--memory", "2Gi", "1"), given["gpu"],
        check_quantity(given["scratch"], "--scratch", "4Gi", "1"), given["workers"])  # fmt: skip


def _scaling(given: Mapping[str, Any]) -> Scaling:
    if given["scale"] is None:
        wish = next((name for name in ("scale_on", "scale_target") if given[name] is not None), None)
        if wish is not None:
            raise refuse(f"--{wish.replace('_', '-')} says by what to scale: add --scale MIN:MAX, or leave it out")
        number = given["replicas"] or Scaling().low
        return Scaling(number, number)
    if given["replicas"] is not None:
        raise refuse("--replicas and --scale both say how many pods there are: give one of them")
    low, _, high = given["scale"].partition(":")
    if not (low.isdecimal() and high.isdecimal() and len(low + high) < 12):
        raise refuse(f"--scale {given['scale'][:60]!r} is not MIN:MAX, as 2:8")
    if not 1 <= int(low) < int(high):
        raise refuse(f"--scale {low}:{high} cannot be: write MIN:MAX with 1 <= MIN < MAX, or --replicas for a fixed number")
    metric = check_metric(given["scale_on"] or CPU)
    return Scaling(int(low), int(high), metric, given["scale_target"] or (_CPU_TARGET if metric == CPU else _OTHER_TARGET))


def _exposure(given: Mapping[str, Any]) -> Exposure | None:
    host, named, secret = (_checked(check_name, given, option) for option in ("ingress", "ingress_class", "ingress_tls"))
    if host is None and (named or secret):
        raise refuse("--ingress-class and --ingress-tls are for --ingress HOST: add it, or leave them out")
    return None if host is None else Exposure(host, named, secret)


def _access(given: Mapping[str, Any]) -> Access:
    file = given["tokens"]
    return Access(
        None if file is None else _token_lines(file), _checked(check_name, given, "tokens_secret"), _checked(check_name, given, "scrape_secret"))


def _token_lines(file: Path) -> str:
    """The text of a file with tokens, once it has been read as the server would."""
    try:
        with file.open("rb") as stream:
            data = stream.read(_MOST_TOKENS + 1)
        if len(data) > _MOST_TOKENS:
            raise ValueError("it is larger than a megabyte")
        text = data.decode("utf-8")
        if not parse_tokens(text):
            raise ValueError("it has no token")
    except OSError as error:
        raise refuse(f"--tokens {file} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise refuse(f"--tokens {file} cannot be read: it is no text in UTF-8") from None
    except ValueError as error:
        raise refuse(f"--tokens {file}: {error}; `argosy token` makes such lines") from None
    return text


def _variables(texts: Sequence[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals:
            raise refuse(f"--env {text[:60]!r} is not NAME=VALUE")
        if name in found:
            raise refuse(f"--env {name} is given twice")
        # in a manifest `$(NAME)` is another variable; the value is meant as it is
        found[check_variable(name)] = check_text(value, f"--env {name}").replace("$(", "$$(")
    return found
