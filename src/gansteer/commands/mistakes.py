"""What a person mistyped, said in one line: unknown commands and flags, values that do not fit, flags that are missing."""

import re
import types
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from gansteer.errors import UserError

Commands = Mapping[str, Any]
"""What is typed to the dataclass that its flags fill, or to more commands below it."""

VALUES = {int: "a whole number, such as 7", float: "a number, such as 0.7", Path: "a file's name", str: "a word"}
HELP = {"--help", "-h"}


def check_words(args: Sequence[str], commands: Commands) -> None:
    """Raise UserError for a command or flag that there is not, naming the one that was probably meant."""
    way, found, rest = _command(args, commands)
    if found is None or HELP & set(args):
        return
    flags = _flags(found)
    for word in rest:
        flag = word.partition("=")[0]
        if re.fullmatch(r"--[A-Za-z][\w-]*", flag) and flag.replace("_", "-") not in flags:
            raise UserError(f"{way} has no {flag}: {_meant(flag, flags, f'{way} --help lists its flags')}")


def explained(said: str, args: Sequence[str], commands: Commands) -> str | None:
    """In one line what the parser said of `args` in its own words; None where nothing is known about it."""
    way, found, rest = _command(args, commands)
    text = " ".join(re.sub(r"[^\x20-\x7e]", " ", said).split())
    flags = {} if found is None else _flags(found)
    bad = re.search(r"(?:Error parsing|for argument) '?(--[\w-]+)", text)
    if bad is not None and bad[1] in flags:
        return f"{' '.join([bad[1], *_given(bad[1], rest)])}: give {_wanted(flags[bad[1]])}"
    if found is None:
        level = re.search(r"Expected one of {(.*?)}", text)
        return level and f"{way} needs one more word: {level[1]}"
    missing = re.search(rf"Missing from {re.escape(way)}: (--[\w-]+|[A-Z_]+)", text)
    if missing is None:
        return None
    what = missing[1] if missing[1].startswith("--") else next(f"a {name[2:]}" for name in flags)
    return f"{way} needs {what}: {way} --help says what it means"


def _command(args: Sequence[str], commands: Commands) -> tuple[str, Any, Sequence[str]]:
    """The words that name the command, what it is (None if the words end before), and the rest. Raises UserError."""
    way, level = "gansteer", commands
    for i, word in enumerate(args):
        if word.startswith("-"):
            return way, None, args[i:]
        if word not in level:
            raise UserError(f"there is no {way} {word}: {_meant(word, level, f'{way} --help lists what there is')}")
        way, found = f"{way} {word}", level[word]
        if not isinstance(found, Mapping):
            return way, found, args[i + 1 :]
        level = found
    return way, None, ()


def _meant(word: str, known: Sequence[str] | Mapping[str, Any], otherwise: str) -> str:
    """The known word that is most like `word`. The dashes, which all flags have alike, do not count."""
    bare = {each.lstrip("-"): each for each in known}
    near = get_close_matches(word.lstrip("-"), list(bare), n=1, cutoff=0.6)
    return f"did you mean {bare[near[0]]}?" if near else otherwise


def _flags(command: Any) -> dict[str, Any]:
    """Every flag of a command to the type of its value; those of switches with the one that turns them off."""
    return dict(_each_flag(command))


def _each_flag(command: Any) -> Iterator[tuple[str, Any]]:
    hints = get_type_hints(command)
    for each in fields(command):
        kind = hints[each.name]
        while get_origin(kind) is Annotated:
            kind = get_args(kind)[0]
        if is_dataclass(kind):
            yield from _each_flag(kind)
            continue
        name = each.name.replace("_", "-")
        yield f"--{name}", kind
        if kind is bool:
            yield f"--no-{name}", kind


def _given(flag: str, words: Sequence[str]) -> list[str]:
    """What was typed for a flag; empty where nothing was."""
    for i, word in enumerate(words):
        name, equals, value = word.partition("=")
        if name.replace("_", "-") == flag:
            return [value] if equals else list(words[i + 1 : i + 2])
    return []


def _wanted(kind: Any) -> str:
    """A type in words."""
    if get_origin(kind) in (Union, types.UnionType):
        kind = next((each for each in get_args(kind) if each is not type(None)), str)
    if get_origin(kind) is Literal:
        return f"one of {', '.join(map(str, get_args(kind)))}"
    if get_origin(kind) in (tuple, list):
        return f"{_wanted(get_args(kind)[0])}, as often as you like"
    return VALUES.get(kind, "what --help says")
