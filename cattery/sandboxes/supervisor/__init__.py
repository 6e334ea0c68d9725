"""The small process that stands over each local sandbox, and the record that it keeps.

It outlives whoever started it, so that a sandbox survives the end of a worker. Everything in this
package imports the standard library alone: it runs once for each sandbox, and stays small.
"""
