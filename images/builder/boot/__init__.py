"""What is special to a boot loader. Each module offers the same four functions.

`slot(build)`: writes what lies in a slot's folder into `build.slot_files` (kernel, initramfs, and how to start them);
`boot(build)`: writes the rest of the boot partition into `build.boot_tree`;
`contents(build)`: files for partitions of its own, by role;
`finish(build, disk)`: what is written into the finished disk image, outside of any file system.
"""
