"""What the bot's code says: every call of `texts(…)`, found in the source itself."""

import ast
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent.parent
Found = tuple[frozenset[str], frozenset[str]]
NOTHING: Found = (frozenset(), frozenset())


@dataclass(frozen=True)
class Use:
    """A place that asks for a text.

    `families` are the heads of keys that are put together there, such as `errors.`; `values` are what is
    given to the text, None where some are passed on without being named; `inside` are the names of the
    calls that it is an argument of.
    """

    place: str
    keys: frozenset[str]
    families: frozenset[str]
    values: frozenset[str] | None
    inside: frozenset[str]


@cache
def trees(package: str = "botapp") -> Mapping[str, ast.Module]:
    """Return the modules of a package, parsed, by their path."""
    paths = sorted((PROJECT / package).rglob("*.py"))
    return {str(path.relative_to(PROJECT)): ast.parse(path.read_text("utf-8")) for path in paths}


@cache
def uses() -> tuple[Use, ...]:
    """Return every call of a Texts in the bot's code."""
    return tuple(use for path, tree in trees().items() for use in _within(tree, path, (tree,), ()))


@cache
def literals(package: str = "botapp") -> frozenset[str]:
    """Return every string that stands in the code of a package."""
    nodes = (node for tree in trees(package).values() for node in ast.walk(tree))
    return frozenset(
        node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)
    )


def _within(node: ast.AST, path: str, scopes: tuple[ast.AST, ...], around: tuple[str, ...]) -> Iterator[Use]:
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        scopes = (node, *scopes)
    if isinstance(node, ast.Call):
        name = _name(node.func)
        if name in ("texts", "Texts()") and node.args:
            named = [keyword.arg for keyword in node.keywords]
            values = None if None in named else frozenset(name for name in named if name)
            keys, families = _key(node.args[0], scopes)
            yield Use(f"{path}:{node.lineno}", keys, families, values, frozenset(around))
        around = (*around, name)
    for child in ast.iter_child_nodes(node):
        yield from _within(child, path, scopes, around)


def _name(node: ast.AST) -> str:
    """Return the last part of what is called; `Texts()` for a Texts made on the spot."""
    match node:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
        case ast.Call(func=func):
            return f"{_name(func)}()"
        case _:
            return ""


def _key(node: ast.AST | None, scopes: tuple[ast.AST, ...]) -> Found:
    """Return the keys that an expression can be, and the families of those that it puts together."""
    match node:
        case ast.Constant(value=str(key)):
            return frozenset({key}), frozenset()
        case ast.JoinedStr(values=[ast.Constant(value=str(head)), *_]):
            return frozenset(), frozenset({head})
        case ast.IfExp(body=first, orelse=second):
            return _joined([_key(first, scopes), _key(second, scopes)])
        case ast.Subscript(value=table):
            return _key(table, scopes)
        case ast.Dict(values=values):
            return _joined([_key(value, scopes) for value in values])
        case ast.Name(id=name):
            assigned = [list(_assigned(name, scope)) for scope in scopes]
            nearest = next((values for values in assigned if values), [])
            return _joined([_key(value, scopes) for value in nearest])
        case _:
            return NOTHING


def _joined(found: Iterable[Found]) -> Found:
    keys, families = zip(NOTHING, *found, strict=True)
    return frozenset().union(*keys), frozenset().union(*families)


def _assigned(name: str, scope: ast.AST) -> Iterator[ast.AST | None]:
    for node in ast.walk(scope):
        if isinstance(node, ast.Assign | ast.AnnAssign | ast.NamedExpr):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            if any(isinstance(target, ast.Name) and target.id == name for target in targets):
                yield node.value
