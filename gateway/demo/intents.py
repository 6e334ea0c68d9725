"""What the user's words ask for, as far as a model of a few patterns can tell."""

import re
from dataclasses import dataclass
from pathlib import PurePosixPath

from gateway.demo.conversation import Conversation


@dataclass(frozen=True, slots=True)
class MakeTitle:
    """The harness wants a title for the conversation."""

    as_json: bool


@dataclass(frozen=True, slots=True)
class Summarise:
    """The harness wants to compact the conversation."""


@dataclass(frozen=True, slots=True)
class AskUser:
    """The user wants to be asked something."""


@dataclass(frozen=True, slots=True)
class MakePlan:
    """The user wants to see a plan."""


@dataclass(frozen=True, slots=True)
class WriteFile:
    """The user wants a file; `run` says to run it afterwards."""

    path: str
    content: str | None
    run: bool


@dataclass(frozen=True, slots=True)
class ReadFile:
    """The user wants to see a file."""

    path: str


@dataclass(frozen=True, slots=True)
class RunCommand:
    """The user wants a command run."""

    command: str


@dataclass(frozen=True, slots=True)
class ThinkAloud:
    """The user wants to see reasoning."""


@dataclass(frozen=True, slots=True)
class Chat:
    """Anything else."""


type Intent = (
    MakeTitle
    | Summarise
    | AskUser
    | MakePlan
    | WriteFile
    | ReadFile
    | RunCommand
    | ThinkAloud
    | Chat
)


def read_intent(conversation: Conversation) -> Intent:
    """Find the first intent that the conversation's last prompt fits."""
    prompt = conversation.prompt
    return (
        _side_request(conversation)
        or (AskUser() if _ASK.search(prompt) else None)
        or _run_command(prompt, at_start=True)
        or _write_file(prompt)
        or _run_command(prompt, at_start=False)
        or _read_file(prompt)
        or (MakePlan() if _PLAN.search(prompt) else None)
        or (ThinkAloud() if _THINK.search(prompt) else None)
        or Chat()
    )


def words_for_title(prompt: str) -> str:
    """Return the user's words in a request for a title, without the request itself."""
    wrapped = _WRAPPED_SESSION.search(prompt)
    words = wrapped[1] if wrapped else _TITLE_REQUEST.sub("", prompt)
    return words.strip().strip("\"'“”").strip()


_TITLE_REQUEST = re.compile(r"^\s*generate a title for this conversation:?", re.IGNORECASE)
_WRAPPED_SESSION = re.compile(r"^\s*<session>(.*?)</session>", re.DOTALL)
"""As Claude Code asks for a title, with instructions behind."""
_ASK = re.compile(r"\bask me\b|\basks? (?:a )?question", re.IGNORECASE)
_PLAN = re.compile(r"\b(?:todos?|to-?do list|make a plan|plan)\b", re.IGNORECASE)
_THINK = re.compile(r"\b(?:think|thinking|reason|reasoning)\b", re.IGNORECASE)
_WRITE = re.compile(r"\b(?:create|make|write|add|generate|save|put|build|touch)\b", re.IGNORECASE)
_READ = re.compile(r"\b(?:read|show|open|view|print|display|cat)\b", re.IGNORECASE)
_LIST = re.compile(
    r"\b(?:list|show|what)\b.*\b(?:files|folder|directory|workspace)\b", re.IGNORECASE
)
_FILE_NAME = re.compile(
    r"(?<![\w/.:@-])(/?(?:[\w.-]+/)*[\w-][\w.-]*\.[A-Za-z][A-Za-z0-9]{0,7})(?![\w/@-])", re.ASCII
)
_CALLED = re.compile(r"\bfile\s+(?:called|named)\s+[`'\"]?([\w.-]+)", re.IGNORECASE)
_QUOTED_CONTENT = re.compile(
    r"\b(?:saying|says|contain(?:s|ing)?|contents?|text|words?|with)\b[^`'\"“]{0,30}"
    r"(?P<quote>[`'\"“])(?P<content>.+?)[`'\"”]",
    re.IGNORECASE | re.DOTALL,
)
_PLAIN_CONTENT = re.compile(
    r"\b(?:saying|that says|containing|contains|with the (?:contents?|text|words?))\b:?\s+"
    r"(?P<content>[^\n]+)",
    re.IGNORECASE,
)
_RUN_AFTERWARDS = re.compile(r"\b(?:and|then)\s+(?:run|execute)\s+(?:it|that)\b", re.IGNORECASE)
_RUN_QUOTED = re.compile(r"\b(?:run|execute)\b[^`\n]{0,40}`([^`\n]+)`", re.IGNORECASE)
_RUN = re.compile(r"\b(?:run|execute)\s*:?\s+([^\n]+)", re.IGNORECASE)
_RUN_AT_START = re.compile(r"^\s*(?:please\s+|can you\s+)?(?:run|execute|list)\b", re.IGNORECASE)
_COMMANDS = frozenset(
    {"cat", "date", "df", "du", "echo", "env", "file", "find", "git", "grep", "head", "hostname"}
    | {"id", "ls", "node", "npm", "ps", "pwd", "python", "python3", "rg", "sh", "sleep", "stat"}
    | {"tail", "tree", "uname", "wc", "which", "whoami"}
)


def _side_request(conversation: Conversation) -> Intent | None:
    system = conversation.system.lower()
    wants_title = (
        "title generator" in system
        or _TITLE_REQUEST.match(conversation.prompt) is not None
        or (not conversation.tools and "title" in system[:4000])
    )
    if wants_title:
        return MakeTitle(as_json='"title"' in system)
    if not conversation.tools and ("summariz" in system or "summaris" in system):
        return Summarise()
    return None


def _run_command(prompt: str, *, at_start: bool) -> RunCommand | None:
    if at_start and not _RUN_AT_START.search(prompt):
        return None
    if _RUN_AFTERWARDS.search(prompt):
        return None
    if quoted := _RUN_QUOTED.search(prompt):
        return RunCommand(quoted[1])
    if plain := _RUN.search(prompt):
        command = plain[1].strip().rstrip(".!?")
        return RunCommand(command if command.split(" ")[0] in _COMMANDS else "ls -la")
    return RunCommand("ls -la") if _LIST.search(prompt) else None


def _write_file(prompt: str) -> WriteFile | None:
    if not _WRITE.search(prompt):
        return None
    name = _FILE_NAME.search(prompt) or _CALLED.search(prompt)
    if name is None and not re.search(r"\bfile\b", prompt, re.IGNORECASE):
        return None
    path = _inside(name[1]) if name else "hello.txt"
    run = _RUN_AFTERWARDS.search(prompt) is not None
    return WriteFile(path, _content(prompt), run)


def _read_file(prompt: str) -> ReadFile | None:
    name = _FILE_NAME.search(prompt)
    return ReadFile(_inside(name[1])) if name and _READ.search(prompt) else None


def _content(prompt: str) -> str | None:
    found = _QUOTED_CONTENT.search(prompt) or _PLAIN_CONTENT.search(prompt)
    if found is None or _FILE_NAME.fullmatch(found["content"]):
        return None
    return found["content"].strip() + "\n"


def _inside(path: str) -> str:
    """Keep a path below the workspace: the demo model writes nowhere else."""
    parts = PurePosixPath(path).parts
    return parts[-1] if ".." in parts or path.startswith("/") else path
