"""OVA: an OVF description, a stream-optimised VMDK and a manifest of SHA-256 in a plain tar (DSP0243 2.1, section 10.2).

The description comes first and the manifest second, as readers of streams need them.
"""

from __future__ import annotations

import hashlib
import io
import re
import tarfile
from pathlib import Path
from xml.etree import ElementTree as ET

from images.builder.build import Build
from images.builder.digest import sha256
from images.builder.spec import Spec

OVF = "http://schemas.dmtf.org/ovf/envelope/1"
RASD = "http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_ResourceAllocationSettingData"
VSSD = "http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_VirtualSystemSettingData"
VMW = "http://www.vmware.com/schema/ovf"
STREAM = "http://www.vmware.com/interfaces/specifications/vmdk.html#streamOptimized"
MEMORY_MIB, PROCESSORS = 1024, 2


def ova(build: Build, raw: Path, target: Path) -> None:
    """Write the OVA of a raw disk image."""
    spec, epoch = build.spec, build.release.built
    disk = raw.with_name(f"{spec.id}-disk1.vmdk")
    disk.unlink(missing_ok=True)
    build.tools.run(
        *("qemu-img", "convert", "-f", "raw", "-O", "vmdk", "-m", "1"),
        *("-o", "subformat=streamOptimized,adapter_type=lsilogic", raw, disk),
    )
    _fixed_identity(disk)
    description = envelope(spec, build.release.version, disk.name, disk.stat().st_size, raw.stat().st_size)
    name = f"{spec.id}.ovf"
    manifest = (
        f"SHA256({name})= {hashlib.sha256(description).hexdigest()}\nSHA256({disk.name})= {sha256(disk)}\n"
    )
    with tarfile.open(target, "w", format=tarfile.USTAR_FORMAT) as tar:
        _add(tar, name, epoch, io.BytesIO(description), len(description))
        text = manifest.encode()
        _add(tar, f"{spec.id}.mf", epoch, io.BytesIO(text), len(text))
        with disk.open("rb") as file:
            _add(tar, disk.name, epoch, file, disk.stat().st_size)
    disk.unlink()


def envelope(spec: Spec, version: str, disk: str, size: int, capacity: int) -> bytes:
    """The OVF description of one machine with one disk and one network card, started by UEFI."""
    for prefix, address in (("ovf", OVF), ("rasd", RASD), ("vssd", VSSD), ("vmw", VMW)):
        ET.register_namespace(prefix, address)
    root = ET.Element(f"{{{OVF}}}Envelope")
    references = _sub(root, "References")
    _sub(references, "File", {"id": "file1", "href": disk, "size": str(size)})
    disks = _sub(root, "DiskSection")
    _sub(disks, "Info", text="One disk; it may be made larger at any time: the data partition grows with it")
    _sub(
        disks,
        "Disk",
        {"diskId": "disk1", "fileRef": "file1", "capacity": str(capacity), "format": STREAM},
    )
    networks = _sub(root, "NetworkSection")
    _sub(networks, "Info", text="The network whose machines are to be served")
    _sub(_sub(networks, "Network", {"name": "bridged"}), "Description", text="Use a bridged network")
    machine = _sub(root, "VirtualSystem", {"id": spec.id})
    _sub(machine, "Info", text=spec.title)
    _sub(machine, "Name", text="Timeball")
    system = _sub(machine, "OperatingSystemSection", {"id": "96"})
    system.set(f"{{{VMW}}}osType", "debian12_64Guest")
    _sub(system, "Info", text="Debian GNU/Linux (64 bit)")
    product = _sub(machine, "ProductSection")
    _sub(product, "Info", text="What is in it")
    _sub(product, "Product", text="Timeball")
    _sub(product, "Version", text=version)
    hardware = _sub(machine, "VirtualHardwareSection")
    _sub(hardware, "Info", text="What it needs")
    about = _sub(hardware, "System")
    for name, text in (
        ("ElementName", "Virtual Hardware Family"),
        ("InstanceID", "0"),
        ("VirtualSystemIdentifier", spec.id),
        ("VirtualSystemType", "vmx-13"),
    ):
        ET.SubElement(about, f"{{{VSSD}}}{name}").text = text
    for item in _items():
        element = _sub(hardware, "Item")
        # The schema wants them in the order of the alphabet.
        for name in sorted(item):
            ET.SubElement(element, f"{{{RASD}}}{name}").text = item[name]
    for name, value in (("firmware", "efi"), ("bootOptions.efiSecureBootEnabled", "false")):
        stated = {f"{{{OVF}}}required": "false", f"{{{VMW}}}key": name, f"{{{VMW}}}value": value}
        ET.SubElement(hardware, f"{{{VMW}}}Config", stated)
    ET.indent(root)
    text = ET.tostring(root, encoding="unicode")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{text}\n'.encode()


def _items() -> list[dict[str, str]]:
    """CIM resources: 3 processor, 4 memory, 20 SATA controller, 17 disk, 10 network card."""
    return [
        {
            "InstanceID": "1",
            "ResourceType": "3",
            "ElementName": f"{PROCESSORS} processors",
            "VirtualQuantity": str(PROCESSORS),
        },
        {
            "InstanceID": "2",
            "ResourceType": "4",
            "ElementName": f"{MEMORY_MIB} MB of memory",
            "AllocationUnits": "byte * 2^20",
            "VirtualQuantity": str(MEMORY_MIB),
        },
        {
            "InstanceID": "3",
            "ResourceType": "20",
            "ElementName": "SATA controller",
            "ResourceSubType": "AHCI",
            "Address": "0",
        },
        {
            "InstanceID": "4",
            "ResourceType": "17",
            "ElementName": "Disk",
            "HostResource": "ovf:/disk/disk1",
            "Parent": "3",
            "AddressOnParent": "0",
        },
        {
            "InstanceID": "5",
            "ResourceType": "10",
            "ElementName": "Network card",
            "ResourceSubType": "E1000",
            "Connection": "bridged",
            "AutomaticAllocation": "true",
        },
    ]


def _sub(
    parent: ET.Element, name: str, attributes: dict[str, str] | None = None, text: str = ""
) -> ET.Element:
    qualified = {f"{{{OVF}}}{key}": value for key, value in (attributes or {}).items()}
    element = ET.SubElement(parent, f"{{{OVF}}}{name}", qualified)
    if text:
        element.text = text
    return element


def _fixed_identity(disk: Path) -> None:
    """qemu-img draws a content identity; the text that holds it is at the start of the file."""
    with disk.open("r+b") as file:
        head = file.read(64 * 1024)
        found = re.search(rb"CID=([0-9a-f]{1,8})\n", head)
        if found:
            file.seek(found.start(1))
            file.write(b"74626331"[: len(found[1])])


def _add(tar: tarfile.TarFile, name: str, epoch: int, content: io.BufferedIOBase, size: int) -> None:
    member = tarfile.TarInfo(name)
    member.size, member.mtime, member.mode = size, epoch, 0o644
    tar.addfile(member, content)
