"""What answers look like, for the OpenAPI document; the fields are those of the status log (`docs/events.md`).

A module for each resource. An answer may get a further field; none goes, and none changes its meaning, within v1.
"""
