"""The reference page of all settings, written from their declarations."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from argosy.config.address import Address, PortRange
from argosy.config.declare import Setting
from argosy.config.sagemaker import FORMS
from argosy.config.settings import declarations
from argosy.config.values import allowed

_INTRODUCTION = """\
# Settings

Generated from the declarations in `argosy.config`; do not edit.

A setting comes from, later ones winning:

1. its default; `argosy serve` in a container of Amazon SageMaker has [other ones](../how-to/serve-on-sagemaker.md#what-the-container-does);
2. the configuration file: `MMS_CONFIG_FILE` names it, else `--mms-config` (`--config` of `argosy serve`), else it is `config.properties`
   in the current folder, if there is one;
3. its own environment variable, if the table names one without condition;
4. the command line;
5. `MMS_<NAME>` in the environment, if `enable_envvars_config=true`.

The file has the syntax of Java properties: `name=value` lines, `#` for comments. `$$NAME$$` in a value is replaced by the environment variable.
Blanks around numbers, paths and words do not count. A boolean is true if it says `true`, in any letter case; anything else is false.
`argosy config show --origin` tells where each value came from, `argosy config check FILE` checks a file.
Times keep the units that Multi Model Server really used; the names of Argosy's own settings carry the unit.
"""


def reference() -> str:
    """The whole page `docs/reference/configuration.md`."""
    known = declarations()
    mms = {name: known[name] for name in known if not known[name][0].ours and not known[name][0].needless}
    ours = {name: known[name] for name in known if known[name][0].ours}
    needless = {name: known[name] for name in known if known[name][0].needless}
    return "\n".join([
        _INTRODUCTION,
        "## Properties of Multi Model Server\n", *_table(mms),
        "\n## Argosy's own\n", *_table(ours),
        "\n## Accepted without effect\n",
        "Configurations made for the Java server carry these; the server says at start that it does not need them.\n",
        *(f"- `{name}`: {setting.help}" for name, (setting, _) in needless.items()), ""])


def _table(settings: dict[str, tuple[Setting, object]]) -> Iterator[str]:
    yield "| name | default | allowed | also set by | what it does |"
    yield "|---|---|---|---|---|"
    for name, (setting, default) in settings.items():
        cells = (f"`{name}`", _default(setting, default), allowed(setting), ", ".join(_sources(name, setting)), setting.help)
        yield "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _default(setting: Setting, default: object) -> str:
    if setting.unset:
        return setting.unset
    if default is None or default == ():
        return "not set"
    return f"`{show(default)}`"


def show(value: object) -> str:
    """A value as it would be written in a configuration file."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (Path, Address, PortRange, str, int)):
        return str(value)
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, tuple):
        return ",".join(map(show, value))
    return "" if value is None else str(getattr(value, "pattern", value))


def _sources(name: str, setting: Setting) -> Iterator[str]:
    yield from (f"`{variable}`" for variable in setting.env)
    yield from (f"`{variable}` ({FORMS[form].noun})" for variable, form in setting.forms)
    if setting.flag:
        yield f"`{setting.flag}`"
    if setting.mms_env:
        yield f"`MMS_{name.upper()}` (with `enable_envvars_config`)"
