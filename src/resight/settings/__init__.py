"""All settings as one typed object."""

from resight.settings.settings import (
    DEFAULT_KIND,
    ENV_PREFIX,
    OTHER_ENV,
    SETTINGS_FILE,
    Settings,
    known_keys,
    load_settings,
    nest,
    parse_assignments,
    settings_from,
)

__all__ = [
    "DEFAULT_KIND",
    "ENV_PREFIX",
    "OTHER_ENV",
    "SETTINGS_FILE",
    "Settings",
    "known_keys",
    "load_settings",
    "nest",
    "parse_assignments",
    "settings_from",
]
