"""The commands that pages show, in blocks and in the middle of a sentence, and those that workflows run."""

import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *sorted((ROOT / "docs").rglob("*.md")),
    *sorted((ROOT / "benchmarks").glob("*.md")),
    *sorted((ROOT / "deploy").rglob("*.md")),
    *sorted((ROOT / "examples").rglob("*.md")),
]
PROGRAMS = "tailgate pytest python pip make tox curl uvicorn"
FENCED = re.compile(r"^( *)```(\w*)[^\n]*\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
INLINE = re.compile(rf"(?<!`)`((?:{PROGRAMS.replace(' ', '|')}) [^`\n]+)`(?!`)")
# Blocks whose every line is a command, and those where a dollar marks it among its output.
SHELL, CONSOLE = {"sh", "bash", "shell"}, {"console"}


@dataclass(frozen=True)
class Command:
    """One command, as a page shows it."""

    page: Path
    line: int
    text: str

    def __str__(self) -> str:
        """Name it for a test: the page, the line, and how it begins."""
        return f"{self.page.stem}:{self.line}: {self.text[:40]}"


def commands(page: Path) -> Iterator[Command]:
    """Yield every command of a page."""
    text = page.read_text(encoding="utf-8")
    for block in FENCED.finditer(text):
        line = text.count("\n", 0, block.start(3)) + 1
        for number, words in lines_of(block[2], block[3]):
            yield Command(page, line + number, words)
    blank = FENCED.sub(lambda block: "\n" * block[0].count("\n"), text)
    for inline in INLINE.finditer(blank):
        yield Command(page, blank.count("\n", 0, inline.start()) + 1, inline[1])


def of_workflows(folder: Path) -> Iterator[Command]:
    """Yield every command of a folder of workflows, once for each entry of its job's matrix, with what varies filled in."""
    for page in sorted(folder.glob("*.yml")):
        for job in yaml.safe_load(page.read_text(encoding="utf-8"))["jobs"].values():
            entries = job.get("strategy", {}).get("matrix", {}).get("include", [{}])
            # Where an earlier job makes the matrix, nothing is known of it here.
            for entry in entries if isinstance(entries, list) else [{}]:
                for step in job.get("steps", ()):
                    yield from (Command(page, *told) for told in _of_step(step, entry))


def _of_step(step: Mapping[str, Any], entry: Mapping[str, str]) -> Iterator[tuple[int, str]]:
    values = {
        name: re.sub(r"\$\{\{ matrix\.(\w+) \}\}", lambda key: entry.get(key[1], key[0]), str(text))
        for name, text in step.get("env", {}).items()
    }
    for number, line in lines_of("sh", step.get("run", "")):
        text = re.sub(r"\$(\w+)", lambda name: values.get(name[1], name[0]), line)
        if re.match(rf"(?:{PROGRAMS.replace(' ', '|')}) ", text) and "$" not in text:
            yield number + 1, text


def lines_of(language: str, body: str) -> Iterator[tuple[int, str]]:
    """Yield the commands of a block with the numbers of their lines; one that a backslash continues is one."""
    joined, started = "", 0
    for number, line in enumerate(body.splitlines()):
        bare = line.strip()
        if not joined:
            started = number
            if language in CONSOLE and not bare.startswith("$ "):
                continue
            if language not in CONSOLE | SHELL or not bare or bare.startswith("#"):
                continue
            bare = bare.removeprefix("$ ")
        joined += bare.removesuffix("\\")
        if not bare.endswith("\\"):
            yield started, joined
            joined = ""


def unmarked(page: Path) -> list[str]:
    """Return the lines that look like commands in blocks that do not say so."""
    found = []
    for block in FENCED.finditer(page.read_text(encoding="utf-8")):
        if block[2] not in SHELL | CONSOLE:
            found += re.findall(
                rf"^ *(?:\$ .*|(?:{PROGRAMS.replace(' ', '|')}) (?!-?>).*)$", block[3], re.MULTILINE
            )
    return found


def simple(text: str) -> Iterator[list[str]]:
    """Yield the words of each program of a command line: without comments, redirections and optional parts."""
    text = re.sub(r"\s# .*$", "", text)
    text = re.sub(r"\s\[[A-Z][^\]]*\]", "", text)
    lexer = shlex.shlex(text, posix=True, punctuation_chars="|&;<>")
    lexer.whitespace_split, lexer.commenters = True, ""
    words: list[str] = []
    skipped = False
    for word in lexer:
        if skipped:
            skipped = False
        elif set(word) <= set("<>"):
            skipped = True
        elif set(word) <= set("|&;"):
            yield words
            words = []
        elif word != "…":
            words.append(word)
    if words:  # nothing stands behind the last &
        yield words


def bare(text: str) -> str:
    """Return a command without its comment."""
    return re.sub(r"\s+# .*$", "", text)
