"""The project's own YAML files as data: read safely, and with libyaml where PyYAML was built with it.

Without libyaml it takes ten times as long, and a process reads them before its first answer.
"""

from pathlib import Path
from typing import Any

import yaml
from yaml.constructor import ConstructorError

try:
    from yaml import CSafeLoader as SafeLoader
except ImportError:
    from yaml import SafeLoader  # type: ignore[assignment]


class _Loader(SafeLoader):
    """The safe loader, except that a repeated key is an error: YAML silently keeps the last one."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:  # noqa: FBT001, FBT002
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                if key.value in seen:
                    raise ConstructorError(None, None, f"key {key.value!r} is repeated", key.start_mark)
                seen.add(key.value)
        return super().construct_mapping(node, deep=deep)


def load(file: Path) -> Any:
    """Return what a file holds.

    Errors: OSError; ValueError where it is not UTF-8 or holds an impossible date; yaml.YAMLError.
    """
    text = file.read_text(encoding="utf-8")
    return yaml.load(text, Loader=_Loader)  # noqa: S506 - derived from the safe loader
