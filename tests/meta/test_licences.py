import re
from importlib import metadata

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

_FORBIDDEN = re.compile(r"\bA?GPL|GNU (Affero )?General Public", re.IGNORECASE)


def _closure(name: str, extras: frozenset[str], seen: dict[str, metadata.Distribution]) -> None:
    distribution = metadata.distribution(name)
    for line in distribution.requires or ():
        requirement = Requirement(line)
        wanted = any(
            requirement.marker is None or requirement.marker.evaluate({"extra": extra}) for extra in (extras or {""})
        )
        key = canonicalize_name(requirement.name)
        if wanted and (key not in seen or requirement.extras):
            try:
                seen[key] = metadata.distribution(requirement.name)
            except metadata.PackageNotFoundError:
                continue  # for another platform or Python
            _closure(requirement.name, frozenset(requirement.extras), seen)


def _licence(distribution: metadata.Distribution) -> str:
    head = distribution.metadata
    classifiers = [line for line in head.get_all("Classifier") or () if line.startswith("License ::")]
    return " | ".join([head.get("License-Expression") or "", (head.get("License") or "")[:200], *classifiers])


def test_nothing_we_ship_depends_on_copyleft() -> None:
    seen: dict[str, metadata.Distribution] = {}
    _closure("tweeling", frozenset({"all"}), seen)
    assert len(seen) > 40
    bad = {
        name: text
        for name, item in seen.items()
        if _FORBIDDEN.search(text := _licence(item)) and "LGPL" not in text and "Lesser" not in text
    }
    assert not bad
