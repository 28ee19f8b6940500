"""The DNS: `resolver` is what others use. It asks `cache`, then `lookup`, which asks by `exchange`."""
