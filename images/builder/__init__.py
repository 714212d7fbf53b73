"""Makes disk images of the appliance: no loop mount, no container, no network but the package manager's.

Each module is one step, from the declarative file to the disk:

    spec        reads images/NAME.toml
    host        what the building machine must have, and its own package sources
    tools       a small Debian of tools, and running programs in it
    base        the root file system that Debian's packages make (cached)
    system      the appliance's configuration and application on top of it
    initramfs   what starts before the system does (cached)
    squash      the system as one read-only file
    boot/       what is special to a boot loader: grub, uboot
    fat, ext4   the file systems of the other partitions
    disk        partitions in a row
    formats/    what people download: raw, qcow2, ova
    papers      packages, bill of materials, sums and signature beside each image
"""
