"""A queue with its history copied from one store to another, of whatever engine."""
