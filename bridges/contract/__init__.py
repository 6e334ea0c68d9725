"""The HTTP harness contract (contract/harness.md), served for any agent.

`app.create_app` serves it, `agent.Agent` is what a bridge implements, `sessions.Sessions` stands in
between: it queues prompts, keeps what must survive a restart, and numbers the events.
"""
