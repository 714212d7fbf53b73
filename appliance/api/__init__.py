"""What a plugin may import. Everything outside `appliance.api` and `appliance.testing` is private."""
