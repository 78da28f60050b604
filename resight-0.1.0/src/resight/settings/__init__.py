"""All settings as one typed object."""

from resight.settings.explain import known_keys
from resight.settings.layers import (
    ENV_PREFIX,
    OTHER_ENV,
    SETTINGS_FILE,
    load_settings,
    nest,
    parse_assignments,
    settings_from,
)
from resight.settings.settings import DEFAULT_KIND, Settings

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
