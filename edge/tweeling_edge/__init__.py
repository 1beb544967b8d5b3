"""The agent on a gateway: samples, keeps, publishes, forgets only what the hub has committed."""
