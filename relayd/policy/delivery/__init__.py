"""Decisions of one delivery attempt; what they rest on comes as facts."""
