"""The licence of an installed package as an SPDX expression, and whether it lets anybody use and pass the package on."""

import functools
import importlib.metadata

from license_expression import ExpressionError, Licensing, get_spdx_licensing

PERMISSIVE = {
    *(
        "0BSD",
        "Apache-2.0",
        "BSL-1.0",
        "BSD-2-Clause",
        "BSD-3-Clause",
        "CC0-1.0",
        "CNRI-Python",
        "ISC",
        "MIT",
        "MIT-0",
        "MIT-CMU",
    ),
    *("PSF-2.0", "Unlicense", "Zlib"),
}
# Licences with conditions of their own that Resight meets, each with the reason.
EXCEPTIONS = {
    "certifi": "MPL-2.0 covers the file of certificates alone; it is used unchanged",
    "orjson": "MPL-2.0 covers its own files alone; they are used unchanged",
    "pathspec": "MPL-2.0 covers its own files alone; they are used unchanged",
    "pi-heif": "LGPL-3.0 covers libheif and libde265, which stay libraries of their own that anybody can replace",
    "text-unidecode": "the Artistic License may be chosen instead of the GPL",
}
# What older metadata says in words. "BSD" alone names no number of clauses, but every one of them is permissive.
WORDS = {
    "Apache Software License": "Apache-2.0",
    "Artistic License": "Artistic-1.0",
    "BSD": "LicenseRef-BSD-like",
    "BSD License": "LicenseRef-BSD-like",
    "GNU General Public License (GPL)": "GPL-2.0-or-later",
    "GNU General Public License v2 or later (GPLv2+)": "GPL-2.0-or-later",
    "GNU Lesser General Public License v3 (LGPLv3)": "LGPL-3.0-only",
    "ISC License (ISCL)": "ISC",
    "MIT License": "MIT",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "Python Software Foundation License": "PSF-2.0",
}


def licence_of(name: str) -> str | None:
    """SPDX expression from the metadata of an installed package; None where it is not installed or says nothing."""
    try:
        metadata = importlib.metadata.metadata(name)
    except importlib.metadata.PackageNotFoundError:
        return None
    for expression in metadata.get_all("License-Expression") or []:
        return str(expression)
    classifiers = [
        text.split(" :: ")[-1] for text in metadata.get_all("Classifier") or [] if text.startswith("License ::")
    ]
    stated = [WORDS[text] for text in classifiers if text in WORDS]
    for text in [] if stated else metadata.get_all("License") or []:
        first = text.strip().partition("\n")[0].strip()
        stated = [WORDS.get(first, first)]
    # Several classifiers mean a choice where they are of one package; nobody writes so what applies together.
    return " OR ".join(dict.fromkeys(stated)) or None


def is_permissive(expression: str) -> bool:
    """Whether one side of every choice (OR) is permissive, and all parts of what applies together (AND) are."""
    try:
        parsed = _spdx().parse(expression.replace("LicenseRef-BSD-like", "BSD-2-Clause"), simple=True)
    except ExpressionError:
        return False
    return parsed is not None and _holds(parsed)


@functools.cache
def _spdx() -> Licensing:
    return get_spdx_licensing()


def _holds(node: object) -> bool:
    parts = getattr(node, "args", ())
    if not parts:
        # What stands after WITH permits more than the licence before it.
        return str(getattr(node, "key", node)).partition(" WITH ")[0] in PERMISSIVE
    return (any if type(node).__name__ == "OR" else all)(_holds(part) for part in parts)
