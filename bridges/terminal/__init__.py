"""The terminal harness contract (contract/harness.md), served for a program with a screen.

`app.create_app` serves it; a `session.Session` owns one pseudo-terminal with its program, keeps the
screen that the program has drawn, and shows it to any number of viewers.
"""
