"""YAML text of a policy → plain data with the line of every place, and every fault that YAML or a type can see.

All faults are collected; only what is no YAML at all ends the reading. What two fields say together is checked by
workers.policy_rules.
"""

import enum
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal, Union, get_args, get_origin

import msgspec
import yaml

from workers.policy_problem import Lines, Place, Problem, choice, word

_YAML: Final = "tag:yaml.org,2002:"


@dataclass(frozen=True, slots=True)
class Source:
    """What stands in the file. `raw` is None where it is no YAML."""

    raw: Any
    lines: Lines
    problems: list[Problem]


def read(text: str) -> Source:
    """Take a file apart; raises nothing."""
    reader = _Reader()
    try:
        loader = yaml.SafeLoader(text)
        node = loader.get_single_node()
        raw = None if node is None else reader.build(loader, node, ())
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = mark.line + 1 if mark else text.count("\n", 0, getattr(error, "position", 0)) + 1
        what = getattr(error, "problem", None) or getattr(error, "reason", type(error).__name__)
        broken = Problem((), f"not valid YAML: {what}", "Mend the line, or the one before it.")
        return Source(None, Lines({(): line}), [broken])
    except RecursionError:
        return Source(None, Lines(), [Problem((), "not valid YAML: nested too deeply", "Write it flat.")])
    return Source(raw, Lines(reader.lines, reader.blocks), reader.problems)


class _Reader:
    """Builds plain data from YAML's nodes, as SafeLoader would, and keeps what that throws away."""

    def __init__(self) -> None:
        self.lines: dict[Place, int] = {}
        self.blocks: dict[Place, int] = {}
        self.problems: list[Problem] = []
        self._built: dict[int, Any] = {}
        self._open: set[int] = set()

    def build(self, loader: yaml.SafeLoader, node: yaml.Node, place: Place) -> Any:
        """The data of a node. An alias is built once: its lines are those of the anchor."""
        if id(node) in self._open:
            self._fault(place, "holds itself", "Write out what the alias stands for.")
            return None
        if id(node) not in self._built:
            self._open.add(id(node))
            self._built[id(node)] = self._data(loader, node, place)
            self._open.remove(id(node))
        return self._built[id(node)]

    def _data(self, loader: yaml.SafeLoader, node: yaml.Node, place: Place) -> Any:
        if isinstance(node, yaml.MappingNode) and node.tag == f"{_YAML}map":
            return self._mapping(loader, node, place)
        if isinstance(node, yaml.SequenceNode) and node.tag == f"{_YAML}seq":
            found = []
            for number, item in enumerate(node.value):
                self.lines[*place, number] = item.start_mark.line + 1
                found.append(self.build(loader, item, (*place, number)))
            return found
        if not isinstance(node, yaml.ScalarNode):
            self._fault(place, f"no place for {node.tag.removeprefix(_YAML)}", "Leave out the tag.")
            return None
        if node.style == "|":
            self.blocks[place] = node.start_mark.line + 2
        return self._scalar(loader, node, place)

    def _mapping(self, loader: yaml.SafeLoader, node: yaml.MappingNode, place: Place) -> dict[Any, Any]:
        first_line: dict[str, int] = {}
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value in first_line:
                # YAML keeps the last of two equal keys in silence: a mistake that nobody would see.
                self.lines[*place, key.value] = key.start_mark.line + 1
                before = first_line[key.value]
                self._fault((*place, key.value), f"stands twice, first in line {before}", "Keep one of the two.")
            elif isinstance(key, yaml.ScalarNode):
                first_line[key.value] = key.start_mark.line + 1
        try:
            loader.flatten_mapping(node)  # `<<`
        except yaml.constructor.ConstructorError as error:
            self._fault(place, f"cannot be merged: {error.problem}", "Write out what `<<` stands for.")
        found: dict[Any, Any] = {}
        for key, value in node.value:
            name = self._scalar(loader, key, place) if isinstance(key, yaml.ScalarNode) else None
            if name is None:
                self.lines[*place, None] = key.start_mark.line + 1
                self._fault((*place, None), "no key", "A key is a word; put it in quotes if YAML reads it otherwise.")
                continue
            self.lines[*place, name] = key.start_mark.line + 1
            found[name] = self.build(loader, value, (*place, name))
        return found

    def _scalar(self, loader: yaml.SafeLoader, node: yaml.ScalarNode, place: Place) -> Any:
        try:
            return loader.construct_object(node)
        except yaml.YAMLError:
            self._fault(place, f"unknown tag {node.tag.removeprefix(_YAML)}", "Leave out the tag.")
        except (ValueError, LookupError, AttributeError, OverflowError) as error:  # whatever YAML's own types raise
            why = f": {error}" if isinstance(error, ValueError) else ""
            kind = node.tag.removeprefix(_YAML)
            self._fault(place, f"`{word(node.value)}` is no {kind}{why}", "Correct it, or put it in quotes.")
        return None

    def _fault(self, place: Place, what: str, remedy: str) -> None:
        self.problems.append(Problem(place, what, remedy))


# -- types -------------------------------------------------------------------------------------------------------------


def typed(value: Any, kind: Any, place: Place = ()) -> Iterator[Problem]:
    """Every place at which plain data is not of a type made of structs, mappings, lists and what msgspec knows."""
    try:
        msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        found = [*_keys(value, kind, place)]
        for item, item_kind, step in _inside(value, kind):
            found += typed(item, item_kind, (*place, step))
        yield from found or [_fault(value, kind, place, str(error).split(" - at ", 1)[0])]


def _keys(value: Any, kind: Any, place: Place) -> Iterator[Problem]:
    """Keys that are missing or not known."""
    bare = _bare(kind)
    if isinstance(value, dict) and isinstance(bare, type) and issubclass(bare, msgspec.Struct):
        fields = {one.name: one for one in msgspec.structs.fields(bare)}
        misspelt = {key: choice(key, fields) for key in value if key not in fields}
        for key, remedy in misspelt.items():
            yield Problem((*place, key), "unknown key", remedy)
        for name, one in fields.items():
            if one.required and name not in value and f"Did you mean `{name}`?" not in misspelt.values():
                yield Problem(place, f"`{name}` is missing", f"Add {name}: {_description(one.type)}.")
    elif isinstance(value, dict) and get_origin(bare) is dict:
        for key in value:
            yield from typed(key, get_args(bare)[0], (*place, key))


def _inside(value: Any, kind: Any) -> Iterator[tuple[Any, Any, Any]]:
    """The parts of a value, with the type of each and the step that leads to it."""
    bare = _bare(kind)
    if isinstance(value, dict) and isinstance(bare, type) and issubclass(bare, msgspec.Struct):
        yield from ((value[one.name], one.type, one.name) for one in msgspec.structs.fields(bare) if one.name in value)
    elif isinstance(value, dict) and get_origin(bare) is dict:
        yield from ((item, get_args(bare)[1], key) for key, item in value.items())
    elif isinstance(value, list) and get_origin(bare) is list:
        yield from ((item, get_args(bare)[0], number) for number, item in enumerate(value))


def _fault(value: Any, kind: Any, place: Place, whole: str) -> Problem:
    wanted = f"Wanted: {_description(kind)}." if _description(kind) else "Correct it."
    if not place:
        wanted = "Start from a copy of workers/policies/default.yml."
    known = _choices(kind)
    if known and isinstance(value, str):
        return Problem(place, f"unknown `{word(value)}`", choice(value, known))
    if _bare(kind) is str and not isinstance(value, dict | list):
        return Problem(place, whole, "YAML reads it otherwise: put it in quotes.")
    what = whole if isinstance(value, dict | list) or value is None else f"{whole}, not {word(value)}"
    return Problem(place, what, wanted)


def _bare(kind: Any) -> Any:
    return get_args(kind)[0] if get_origin(kind) is Annotated else kind


def _description(kind: Any) -> str:
    metas = get_args(kind)[1:] if get_origin(kind) is Annotated else ()
    return next((meta.description for meta in reversed(metas) if meta.description), "")


def _choices(kind: Any) -> list[str]:
    """The words that may stand there, where there are only some."""
    bare = _bare(kind)
    if isinstance(bare, type) and issubclass(bare, enum.Enum):
        return [str(member.value) for member in bare]
    if get_origin(bare) is Literal:
        return [str(name) for name in get_args(bare)]
    if get_origin(bare) is Union:
        return [name for branch in get_args(bare) for name in _choices(branch)]
    return []
