"""The settings of the home: `config`."""

from typing import Annotated, Any

from p2pd.daemon.method import Answer, method
from p2pd.daemon.service import Service
from p2pd.settings import KEYS, Loaded, config_files, known_key, load_settings, parse_value, write_setting

_OPTION = {
    "key": "its name",
    "value": "what the next start takes, flags apart",
    "source": "the file it comes from, or default",
    "default": "what it is unless set",
    "help": "what it is for",
}


def _shown(name: str, loaded: Loaded) -> dict[str, Any]:
    key = KEYS[name]
    return {
        "key": name,
        "value": getattr(loaded.settings, name),
        "source": loaded.sources[name],
        "default": key.default,
        "help": key.help,
    }


@method("config.list", needs_person=False, result={"settings": "list of " + ", ".join(f"`{key}`" for key in _OPTION)})
async def config_list(service: Service) -> Answer:
    """Every setting."""
    loaded = load_settings(service.home)
    return {"settings": [_shown(name, loaded) for name in KEYS]}


@method("config.get", needs_person=False, result=_OPTION)
async def config_get(service: Service, *, key: Annotated[str, "its name"]) -> Answer:
    """One setting."""
    return _shown(known_key(key).name, load_settings(service.home))


@method("config.set", needs_person=False, result=_OPTION | {"path": "the file written"})
async def config_set(
    service: Service,
    *,
    key: Annotated[str, "its name"],
    value: Annotated[object, "the new value, in the setting's type or as text: true, 20, a,b"],
) -> Answer:
    """Changes a setting in the home's config.toml; it holds from the daemon's next start."""
    parsed = parse_value(key, value) if isinstance(value, str) else value
    path = write_setting(service.home, key, parsed)
    return _shown(key, load_settings(service.home)) | {"path": str(path)}


@method(
    "config.path",
    needs_person=False,
    result={"home": "the folder", "files": "list of `path`, `exists`; the strongest first"},
)
async def config_path(service: Service) -> Answer:
    """Where settings are read from."""
    files = [{"path": str(file), "exists": file.exists()} for file in config_files(service.home)]
    return {"home": str(service.home), "files": files}


METHODS = (config_list, config_get, config_set, config_path)
