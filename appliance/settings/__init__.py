"""Changes a configuration the way a careful person would: checked first, shown, written whole, and taken back when it fails."""
