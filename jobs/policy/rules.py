"""Reads the policy from YAML and tells which rule a text breaks.

It owns the file's shape and reports everything that is wrong with it at once. It knows nothing of prompts,
users or what happens to a text that breaks a rule.

The file has two keys. `words` holds word lists: name → phrases, which may use the lists above them. `rules`
is a list in order of precedence, each rule with

    id        stable, for machines
    title     {ru, en}: one sentence for people, what is not allowed
    patterns  {ru, en}: phrases that break the rule
    together  optional: groups of phrases; one breaks the rule when each of its phrases is in the text
    allow     optional: strict phrases taken out of the text before this rule looks at it
    allow_if  optional: more of these, each {phrases, present, absent}: taken out only of a text that holds
              one of `present` and none of `absent`

The language of the phrases is described in `jobs.policy.phrases`.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from jobs.policy.matching import Lexicon, Reading
from jobs.policy.normalise import normalise
from jobs.policy.phrases import Phrase, PhraseError, Phrases, words_of
from qwenedit.lib import yaml_files

LANGUAGES = ("ru", "en")

_REQUIRED_KEYS = {"id", "title", "patterns"}
_OPTIONAL_KEYS = {"together", "allow", "allow_if"}
_EXEMPTION_KEYS = ("phrases", "present", "absent")


class PolicyError(Exception):
    """The policy cannot be used; `problems` names everything that is wrong with its file."""

    def __init__(self, path: Path, problems: list[str]) -> None:
        super().__init__(f"{path}: " + "; ".join(problems))
        self.problems = tuple(problems)


@dataclass(frozen=True, kw_only=True)
class Exemption:
    """Phrases that are harmless in a text that holds one of `present` and none of `absent`."""

    phrases: Phrases
    present: Phrases
    absent: Phrases

    def applied_to(self, reading: Reading) -> Reading:
        """Return the reading without the phrases, if they are harmless in it."""
        if reading.contains(self.present) and not reading.contains(self.absent):
            return reading.without(self.phrases)
        return reading


@dataclass(frozen=True, kw_only=True)
class Rule:
    """One rule; `titles` by language, and what breaks it."""

    id: str
    titles: Mapping[str, str]
    patterns: Phrases
    together: tuple[tuple[Phrases, ...], ...]
    allow: Phrases
    allow_if: tuple[Exemption, ...]

    def is_broken_by(self, reading: Reading) -> bool:
        """Tell whether a text breaks this rule."""
        rest = reading.without(self.allow)
        for exemption in self.allow_if:
            rest = exemption.applied_to(rest)
        return rest.contains(self.patterns) or any(
            all(rest.contains(phrases) for phrases in group) for group in self.together
        )

    def all_phrases(self) -> Iterator[Phrases]:
        """Yield everything this rule looks for."""
        yield from (self.patterns, self.allow)
        for group in self.together:
            yield from group
        for exemption in self.allow_if:
            yield from (exemption.phrases, exemption.present, exemption.absent)


class Policy:
    """Rules in order of precedence."""

    def __init__(self, rules: tuple[Rule, ...]) -> None:
        self.rules = rules
        self._lexicon = Lexicon(words_of(phrases for rule in rules for phrases in rule.all_phrases()))

    @classmethod
    def load(cls, path: Path) -> "Policy":
        """Read a policy's file.

        Errors: PolicyError with every problem found.
        """
        try:
            document = yaml_files.load(path)
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            raise PolicyError(path, [f"cannot be read: {error}"]) from error
        reader = _Reader()
        rules = reader.read(document)
        if reader.problems:
            raise PolicyError(path, reader.problems)
        return cls(rules)

    def first_broken(self, text: str) -> Rule | None:
        """Return the first rule that `text` breaks, if any."""
        reading = Reading(normalise(text), self._lexicon)
        return next((rule for rule in self.rules if rule.is_broken_by(reading)), None)


class _Reader:
    """Reads as much as it can and notes what it could not."""

    def __init__(self) -> None:
        self.problems: list[str] = []
        self._lists: dict[str, Phrases] = {}

    def read(self, document: Any) -> tuple[Rule, ...]:
        if not isinstance(document, dict) or document.keys() != {"words", "rules"}:
            self.problems.append("the file must hold the keys words and rules, and no other")
            return ()
        self._read_lists(document["words"])
        entries = document["rules"]
        if not isinstance(entries, list) or not entries:
            self.problems.append("rules must be a list")
            return ()
        rules = [rule for index, entry in enumerate(entries, 1) if (rule := self._read_rule(entry, index))]
        seen: set[str] = set()
        for rule in rules:
            if rule.id in seen:
                self.problems.append(f"rule {rule.id}: the id is used twice")
            seen.add(rule.id)
        return tuple(rules)

    def _read_lists(self, section: Any) -> None:
        if not isinstance(section, dict):
            self.problems.append("words must be a mapping of lists")
            return
        for name, value in section.items():
            self._lists[str(name)] = self._phrases(value, f"words.{name}")

    def _read_rule(self, entry: Any, index: int) -> Rule | None:
        where = (
            f"rule {entry['id']}" if isinstance(entry, dict) and entry.get("id") else f"rule number {index}"
        )
        if (
            not isinstance(entry, dict)
            or not _REQUIRED_KEYS <= entry.keys() <= _REQUIRED_KEYS | _OPTIONAL_KEYS
        ):
            self.problems.append(
                f"{where}: needs id, title and patterns, may have together and allow, and no more"
            )
            return None
        titles = self._by_language(entry["title"], f"{where}: title")
        for language, title in titles.items():
            if not isinstance(title, str) or not title.strip().endswith("."):
                self.problems.append(f"{where}: title.{language} must be a sentence")
        patterns = self._by_language(entry["patterns"], f"{where}: patterns")
        together = entry.get("together", [])
        if not isinstance(together, list) or not all(isinstance(group, list) for group in together):
            self.problems.append(f"{where}: together must be a list of groups of phrases")
            together = []
        return Rule(
            id=str(entry["id"]),
            titles=titles,
            patterns=Phrases(
                tuple(
                    phrase
                    for language, phrases in patterns.items()
                    for phrase in self._phrases(phrases, f"{where}: patterns.{language}").phrases
                )
            ),
            together=tuple(
                tuple(self._phrases([phrase], f"{where}: together") for phrase in group) for group in together
            ),
            allow=self._phrases(entry["allow"], f"{where}: allow") if "allow" in entry else Phrases(()),
            allow_if=self._exemptions(entry.get("allow_if", []), f"{where}: allow_if"),
        )

    def _exemptions(self, value: Any, where: str) -> tuple[Exemption, ...]:
        if not isinstance(value, list) or not all(
            isinstance(item, dict) and item.keys() == set(_EXEMPTION_KEYS) for item in value
        ):
            self.problems.append(f"{where} must be a list of mappings with phrases, present and absent")
            return ()
        return tuple(
            Exemption(**{key: self._phrases(item[key], f"{where}.{key}") for key in _EXEMPTION_KEYS})
            for item in value
        )

    def _by_language(self, value: Any, where: str) -> dict[str, Any]:
        if not isinstance(value, dict) or value.keys() != set(LANGUAGES):
            self.problems.append(f"{where} must hold {' and '.join(LANGUAGES)}")
            return {}
        return value

    def _phrases(self, value: Any, where: str) -> Phrases:
        if not isinstance(value, list) or not value or not all(isinstance(item, str) for item in value):
            self.problems.append(f"{where} must be a list of phrases")
            return Phrases(())
        phrases = []
        for source in value:
            try:
                phrases.append(Phrase.parse(source, self._lists))
            except PhraseError as error:
                self.problems.append(f"{where}: {error}")
        return Phrases(tuple(phrases))
