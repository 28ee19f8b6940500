"""From nothing to a relay that works: `relayd init` asks, `relayd import` reads what another program was told."""
