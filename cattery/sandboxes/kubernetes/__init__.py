"""Sandboxes as pods of a Kubernetes cluster, made through the agent-sandbox controller."""
