"""Forms drawn from a JSON Schema: every plugin's configuration gets one, whoever wrote the plugin."""
