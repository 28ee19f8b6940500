"""The rules of the console: decisions without a clock, a store or a network."""
