"""Cases: one idea a module, loaded in the order of their names."""
