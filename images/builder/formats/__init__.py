"""The forms in which people get a disk image. Each module makes one from the raw one."""
