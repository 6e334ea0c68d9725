"""What the demo model says. Every answer to a person ends with what it is and how to replace it."""

from pathlib import PurePosixPath

NOTICE = (
    "\n\n---\n*This is Cattery's built-in **demo model**: it follows a small script and "
    "understands very little. For a real model, stop Cattery, set a key with "
    "`export ANTHROPIC_API_KEY=…` or `export OPENAI_API_KEY=…`, and start it again with "
    "`make up`.*"
)

WELCOME = """\
Hello! I am the **demo model**. I cannot really think, but I can show you how an agent works in \
Cattery: what I write streams to you live, and the tools I call really run in this harness's \
sandbox.

Try one of these:

| Say | and you see |
|---|---|
| `create a file hello.txt` | a tool call that writes a file; then open **Files** |
| `write hello.py and run it` | two tool calls, one after the other |
| `run ls -la` | a command in the sandbox and its output |
| `read hello.txt` | a file's contents |
| `think about cats` | reasoning, folded away above the answer |
| `make a plan` | a to-do list that gets ticked off |
| `ask me something` | a question with choices, to which your answer comes back |

A real model would answer with code such as this:

```python
def greet(name: str) -> str:
    return f"Hello, {name}! The cats are awake."


print(greet("world"))
```
"""

THINKING = (
    "The user wants to see me think. A real model would weigh the question, look at the files and "
    "plan its steps here. I have a script, so I go through the motions: first understand what is "
    "asked, then consider what could go wrong, then choose the simplest thing that works."
)

THOUGHT = (
    "I have thought about it. The reasoning above was streamed apart from this answer, and the "
    "interface folds it away so that you can look at it when you want to.\n\n"
    "1. **Understand** what is asked.\n"
    "2. **Consider** what could go wrong.\n"
    "3. **Choose** the simplest thing that works."
)

SUMMARY = (
    "Summary by the demo model: the user tried out Cattery with the built-in demo model. There is "
    "no open work."
)

PLAN_STEPS = ("Look at the workspace", "Make the change", "Check the result")


def file_content(path: str) -> str:
    """Return a small, working content for a file of this name."""
    return _CONTENTS.get(PurePosixPath(path).suffix.lower(), _PLAIN)


def wrote(path: str, content: str) -> str:
    """Say that a file was written."""
    lines = content.count("\n")
    size = "1 line" if lines == 1 else f"{lines} lines"
    return (
        f"Done: I wrote **`{path}`** ({size}). You find it in the project's workspace, under Files."
    )


def fenced(text: str, *, lines: int = 30) -> str:
    """Put a tool's output into a code block, cut to so many lines."""
    shown = text.strip().splitlines()
    more = f"\n… {len(shown) - lines} more lines" if len(shown) > lines else ""
    body = "\n".join(line[:300] for line in shown[:lines])
    return f"````text\n{body}{more}\n````"


def failed(what: str, result: str) -> str:
    """Say that a tool reported an error."""
    return f"I could not {what}. The tool answered:\n\n{fenced(result, lines=10)}"


_PLAIN = "Hello from Cattery!\n\nThe demo model wrote this file with a tool call in the sandbox.\n"
_CONTENTS = {
    ".py": '''\
"""Written by Cattery's demo model."""


def greet(name: str) -> str:
    """Return a greeting."""
    return f"Hello, {name}!"


if __name__ == "__main__":
    print(greet("Cattery"))
''',
    ".js": 'const greet = (name) => `Hello, ${name}!`;\n\nconsole.log(greet("Cattery"));\n',
    ".ts": (
        "const greet = (name: string): string => `Hello, ${name}!`;\n\n"
        'console.log(greet("Cattery"));\n'
    ),
    ".sh": '#!/bin/sh\n# Written by Cattery\'s demo model.\necho "Hello, Cattery!"\n',
    ".md": (
        "# Hello from Cattery\n\nThe demo model wrote this page.\n\n"
        "- It is **Markdown**.\n- It has a list.\n"
    ),
    ".json": '{\n  "greeting": "Hello from Cattery",\n  "written_by": "demo model"\n}\n',
    ".yaml": "greeting: Hello from Cattery\nwritten_by: demo model\n",
    ".yml": "greeting: Hello from Cattery\nwritten_by: demo model\n",
    ".css": "body {\n  font-family: system-ui, sans-serif;\n  margin: 2rem;\n}\n",
    ".html": """\
<!doctype html>
<html lang="en">
  <head>
    <meta charset="utf-8">
    <title>Hello from Cattery</title>
  </head>
  <body>
    <h1>Hello from Cattery</h1>
    <p>The demo model wrote this page.</p>
  </body>
</html>
""",
}
