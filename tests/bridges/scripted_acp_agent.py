"""An ACP agent that does what its prompt says, wrong things and late things among them.

A program of its own, with the standard library alone. It keeps the prompts of its sessions
in `$HOME/acp`, and replays them when a session is loaded.
"""

import json
import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

type Message = dict[str, Any]
STATE = Path(os.environ["HOME"]) / "acp"
FAULT = os.environ.get("ACP_FAULT", "")
CANCEL = "session/cancel"


def send(message: Message) -> None:
    os.write(1, json.dumps({"jsonrpc": "2.0", **message}).encode() + b"\n")


def update(session: str, kind: str, /, **fields: object) -> None:
    params = {"sessionId": session, "update": {"sessionUpdate": kind, **fields}}
    send({"method": "session/update", "params": params})


def say(session: str, text: str, kind: str = "agent_message_chunk") -> None:
    update(session, kind, content={"type": "text", "text": text})


buffer = b""


def receive(timeout: float | None = None) -> Message | None:
    global buffer
    while b"\n" not in buffer:
        if not select.select([0], [], [], timeout)[0]:
            return None
        data = os.read(0, 65536)
        if not data:
            sys.exit(0)
        buffer += data
    line, buffer = buffer.split(b"\n", 1)
    message: Message = json.loads(line)
    return message


def cancelled(seconds: float) -> bool:
    message = receive(seconds)
    return message is not None and message.get("method") == CANCEL


def ask(session: str) -> Message:
    options = [
        {"optionId": "yes", "name": "Allow", "kind": "allow_once"},
        {"optionId": "no", "name": "Reject", "kind": "reject_once"},
    ]
    call = {"toolCallId": "call", "title": "Write x", "rawInput": {"command": ["rm", "x"]}}
    params = {"sessionId": session, "toolCall": call, "options": options}
    send({"id": "ask", "method": "session/request_permission", "params": params})
    while True:
        message = receive()
        if message and message.get("id") == "ask":
            outcome: Message = message["result"]["outcome"]
            return outcome


def work(session: str, prompt: str, past: list[str]) -> Message:
    reply: Message = {"stopReason": "end_turn"}
    match prompt.split():
        case ["long", count]:
            for number in range(int(count)):
                say(session, f"{number} 猫🐈\x1b[0m ")
        case ["ask"]:
            outcome = ask(session)
            if outcome["outcome"] == "cancelled":
                return {"stopReason": "cancelled"}
            say(session, outcome["optionId"])
        case ["memory"]:
            say(session, "|".join(past))
        case ["die"]:
            say(session, "about to")
            child = subprocess.Popen(["sleep", "300"])
            (STATE.parent / "child").write_text(str(child.pid))
            os.kill(os.getpid(), signal.SIGKILL)
        case ["leave"]:
            sys.stderr.write("out of luck\n")
            sys.exit(3)
        case ["slow"]:
            for number in range(200):
                say(session, f"word{number} ")
                if cancelled(0.05):
                    return {"stopReason": "cancelled"}
        case ["deaf"]:
            say(session, "listening")
            time.sleep(300)
        case ["strange"]:
            update(session, "hologram", data=1)
            update("another", "agent_message_chunk", content={"type": "text", "text": "not mine"})
            os.write(1, b"no json at all\n")
            send({"id": "fs", "method": "fs/read_text_file", "params": {"path": "/etc/passwd"}})
            refused = receive()
            say(session, str(refused and refused["error"]["code"]))
        case ["everything"]:
            say(session, "Hm. ", "agent_thought_chunk")
            say(session, "First. ")
            update(session, "usage_update", size=10, used=1)
            say(session, "Still first.")
            where = [{"path": "a.txt"}]
            update(
                session,
                "tool_call",
                toolCallId="1",
                title="Edit a.txt",
                kind="edit",
                status="pending",
                locations=where,
            )
            diff = {"type": "diff", "path": "a.txt", "oldText": "a\n", "newText": "b\n"}
            update(session, "tool_call_update", toolCallId="1", status="completed", content=[diff])
            entries = [{"content": "One", "status": "completed", "priority": "high"}]
            update(session, "plan", entries=entries)
            update(session, "session_info_update", title="A title")
            say(session, "Second.")
            reply["usage"] = {"inputTokens": 3, "outputTokens": 4, "totalTokens": 7}
        case ["refuse"]:
            return {"stopReason": "refusal"}
        case ["nothing"]:
            pass
        case ["log", count]:
            sys.stderr.write("x" * int(count) + "\n")
            say(session, "logged")
        case _:
            say(session, f"You said: {prompt}")
    return reply


def main() -> None:
    STATE.mkdir(exist_ok=True)
    sessions = {path.name: json.loads(path.read_text()) for path in STATE.iterdir()}
    while True:
        message = receive()
        assert message is not None
        params, method = message.get("params") or {}, message.get("method")
        result: Message = {}
        match method:
            case "initialize":
                if FAULT == "mute":
                    time.sleep(300)
                result = {"protocolVersion": 1, "agentCapabilities": {"loadSession": True}}
            case "session/new":
                session = f"acp{os.getpid()}"
                sessions[session] = []
                result = {"sessionId": session}
            case "session/load":
                for past in sessions[params["sessionId"]]:
                    say(params["sessionId"], past, "user_message_chunk")
                    say(params["sessionId"], f"Replayed: {past}")
            case "session/prompt":
                text, session = params["prompt"][0]["text"], params["sessionId"]
                past = sessions[session].copy()
                sessions[session].append(text)
                (STATE / session).write_text(json.dumps(sessions[session]))
                if text == "fail":
                    data = json.dumps({"error": {"message": "the model is ill"}})
                    error = {"code": -32603, "message": "Internal error", "data": data}
                    send({"id": message["id"], "error": error})
                    continue
                result = work(session, text, past)
        if "id" in message and method:
            send({"id": message["id"], "result": result})
            if method == "session/load":
                say(params["sessionId"], "Replayed late")


if __name__ == "__main__":
    main()
